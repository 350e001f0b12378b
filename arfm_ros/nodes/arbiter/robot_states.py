"""Joint states of a robot, from any number of topics, in the order of its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SpecError
from arfm_ros.core.safety.limits import F64
from arfm_ros.nodes.arbiter.inputs import Moment
from arfm_ros.nodes.ros.axis_reader import NAMINGS_MAX, AxisReader, Picks
from arfm_ros.robots.robot import Robot
from arfm_ros.wire.joints import JointPositions

NS = 1_000_000_000
GRIPPER = "gripper"
PART_GAP_NS = 100_000_000  # for which some joints may be told and others not


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Axes that one kind of message tells of; `whole`: all that an arm's state is made of."""

    picks: Picks
    columns: NDArray[np.intp]
    names: frozenset[str]
    carrying: bool
    whole: bool


class RobotStates:
    """Put the newest values of all axes together.

    There is a new state when every joint of an arm has told a new one, in however many messages,
    and it is as old as its oldest joint. A gripper is believed for longer, by arrival: its
    driver is slow and its stamps may be of another clock.
    """

    def __init__(self, robot: Robot, gripper_age_max_s: float) -> None:
        self._reader, self._names = AxisReader(robot), robot.names
        self._age_max_ns = round(gripper_age_max_s * NS)
        grips = [g.kind == GRIPPER for g in robot.groups for _ in g.axes]
        self._carries = ~np.array(grips) if not all(grips) else np.ones(len(grips), np.bool_)
        self._where = {name: n for n, name in enumerate(robot.names)}
        self._topics = {a.name: g.state_topics for g in robot.groups for a in g.axes}
        self._positions: F64 = np.full(len(grips), np.nan)
        self._stamps_ns = np.zeros(len(grips), np.int64)
        self._seen_ns = np.zeros(len(grips), np.int64)
        self._unknown = set(robot.names)
        self._others = np.flatnonzero(~self._carries)
        self._parts: dict[tuple[str, ...], _Part] = {}
        self._fresh = np.zeros(len(grips), np.bool_)  # told since the last state
        self._said: dict[str, Sequence[str]] = {}  # what each topic named last

    @property
    def topics(self) -> tuple[str, ...]:
        """Where joint states come from."""
        return self._reader.topics

    def take(self, topic: str, told: JointPositions, now: Moment) -> tuple[F64, int] | None:
        """Return positions [A] and the steady time of the state; None where it tells of no arm.

        Raises `SpecError` naming what is missing or too old.
        """
        part = self._part(self._reader.picks(topic, told))
        self._said[topic] = told.names
        if part.carrying and not told.stamp_ns:
            raise SpecError("joint state has no stamp (0): set header.stamp in its driver")
        self._positions[part.columns] = part.picks.of(told)
        self._stamps_ns[part.columns] = stamp_ns = now.steady(told.stamp_ns)
        self._seen_ns[part.columns] = now.steady_ns
        self._fresh[part.columns] = True
        self._unknown -= part.names
        if not part.carrying and part.names:
            return None
        self._check(now)
        if not part.whole:
            if not self._fresh[self._carries].all():
                self._wait(now)
                return None
            stamp_ns = int(self._stamps_ns[self._carries].min())
        self._fresh[:] = False
        return self._positions.copy(), stamp_ns

    def oldest(self) -> str:
        """Name the joint of an arm whose state is the oldest."""
        stamps = np.where(self._carries, self._stamps_ns, np.iinfo(np.int64).max)
        return self._names[int(np.argmin(stamps))]

    def _wait(self, now: Moment) -> None:
        """Raise `SpecError` naming the joints that others wait for, if they do so for long."""
        silent_ns = np.where(self._carries & ~self._fresh, now.steady_ns - self._seen_ns, 0)
        if silent_ns.max() > PART_GAP_NS:
            names = [name for name, ns in zip(self._names, silent_ns) if ns > PART_GAP_NS]
            raise SpecError(
                f"joint states lack {', '.join(names)} for {silent_ns.max() / 1e6:.0f} ms"
            )

    def _check(self, now: Moment) -> None:
        if self._unknown:
            raise SpecError(self._lacks([name for name in self._names if name in self._unknown]))
        ages_ns = now.steady_ns - self._seen_ns[self._others]
        if len(ages_ns) and ages_ns.max() > self._age_max_ns:
            name = self._names[self._others[ages_ns.argmax()]]
            raise SpecError(
                f"{name} state on {', '.join(self._topics[name])} is "
                f"{ages_ns.max() / NS:.1f} s old (parameter gripper_age_max)"
            )

    def _part(self, picks: Picks) -> _Part:
        """Look up which axes of the robot a message tells of."""
        found = self._parts.get(picks.names)
        if found is None or found.picks is not picks:
            if len(self._parts) >= NAMINGS_MAX:
                self._parts.clear()
            columns = np.array([self._where[name] for name in picks.names], dtype=np.intp)
            carries = int(self._carries[columns].sum())
            whole = carries == int(self._carries.sum())
            found = _Part(picks, columns, frozenset(picks.names), carries > 0, whole)
            self._parts[picks.names] = found
        return found

    def _lacks(self, missing: list[str]) -> str:
        topics = dict.fromkeys(t for name in missing for t in self._topics[name])
        silent = [topic for topic in topics if topic not in self._said]
        if silent:
            return f"no state of {', '.join(missing)} yet on {', '.join(silent)}"
        named = "; ".join(
            f"{topic} names {', '.join(self._said[topic]) or 'nothing'}" for topic in topics
        )
        return f"joint states lack {', '.join(missing)}: {named} (published in the YAML)"
