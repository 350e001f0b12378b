"""What joint states say about the axes of a robot, in its own names and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SpecError
from arfm_ros.core.safety.limits import F64
from arfm_ros.robots.robot import Robot, RobotAxis
from arfm_ros.wire.joints import JointPositions

NAMINGS_MAX = 32  # orders of names that are kept in mind


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """Which values of a message are which axes [K], and what makes them the robot's unit."""

    names: tuple[str, ...]  # of the axes
    at: NDArray[np.intp]
    scale: F64
    offset: F64
    plain: bool  # in the robot's unit already

    def of(self, told: JointPositions) -> F64:
        """Return the axes' values [K]."""
        values = told.values[self.at]
        return values if self.plain else self.scale * values + self.offset


class AxisReader:
    """What joint states say about the axes of a robot, in its own names and units."""

    def __init__(self, robot: Robot) -> None:
        self.topics = tuple(dict.fromkeys(t for g in robot.groups for t in g.state_topics))
        self._axes: dict[str, list[RobotAxis]] = {
            topic: [axis for g in robot.groups if topic in g.state_topics for axis in g.axes]
            for topic in self.topics
        }
        self.grippers = frozenset(  # topics that tell of nothing else
            topic
            for topic in self.topics
            if all(g.kind == "gripper" for g in robot.groups if topic in g.state_topics)
        )
        self._picks: dict[tuple[str, tuple[str, ...]], Picks] = {}

    def picks(self, topic: str, told: JointPositions) -> Picks:
        """Find a robot's axes in a message; one under its own name is in our unit already."""
        key = topic, told.names if len(told.values) else ()
        found = self._picks.get(key)
        if found is None:
            if len(self._picks) >= NAMINGS_MAX:
                self._picks.clear()
            found = self._picks[key] = self._find(*key)
        return found

    def read(self, topic: str, told: JointPositions) -> dict[str, float]:
        """Return axis -> value of a message."""
        picks = self.picks(topic, told)
        return dict(zip(picks.names, picks.of(told).tolist()))

    def positions(self, messages: Mapping[str, JointPositions], names: Sequence[str]) -> F64:
        """Pick positions [len(names)] out of messages by topic.

        Raises `SpecError` naming what is missing; values may be NaN, `PolicySpec.check` judges.
        """
        found: dict[str, float] = {}
        for topic in reversed(tuple(messages)):  # of two that name a joint the first counts
            found |= self.read(topic, messages[topic])
        missing = [name for name in names if name not in found]
        if missing:
            named = [name for message in messages.values() for name in message.names]
            told = ", ".join(named) or "nothing"
            raise SpecError(f"joint states lack {', '.join(missing)}; they name: {told}")
        return np.array([found[name] for name in names], dtype=np.float64)

    def _find(self, topic: str, names: tuple[str, ...]) -> Picks:
        at = {name: n for n, name in enumerate(names)}  # of two of a name the last counts
        rows: list[tuple[str, int, float, float]] = []
        for axis in self._axes[topic]:
            if axis.message_name in at:
                rows.append((axis.name, at[axis.message_name], axis.scale, axis.offset))
            elif axis.name in at:
                rows.append((axis.name, at[axis.name], 1.0, 0.0))
        return Picks(
            tuple(row[0] for row in rows),
            np.array([row[1] for row in rows], dtype=np.intp),
            np.array([row[2] for row in rows], dtype=np.float64),
            np.array([row[3] for row in rows], dtype=np.float64),
            all(row[2:] == (1.0, 0.0) for row in rows),
        )
