"""What joint states say about the axes of a robot, in its own names and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.safety.limits import F64
from arfm_ros.nodes.ros.convert import joint_map
from arfm_ros.robots.robot import Robot, RobotAxis


class AxisReader:
    """What joint states say about the axes of a robot, in its own names and units."""

    def __init__(self, robot: Robot) -> None:
        self.topics = tuple(dict.fromkeys(t for g in robot.groups for t in g.state_topics))
        self._axes: dict[str, list[RobotAxis]] = {
            topic: [axis for g in robot.groups if topic in g.state_topics for axis in g.axes]
            for topic in self.topics
        }

    def read(self, topic: str, message: Any) -> dict[str, float]:
        """Return axis -> value of a message; an axis under its own name is in our unit already.

        Raises `SpecError` for a message with fewer positions than names.
        """
        found = joint_map((message,))
        values = {}
        for axis in self._axes[topic]:
            if axis.message_name in found:
                values[axis.name] = axis.scale * found[axis.message_name] + axis.offset
            elif axis.name in found:
                values[axis.name] = found[axis.name]
        return values

    def positions(self, messages: Mapping[str, Any], names: Sequence[str]) -> F64:
        """Pick positions [len(names)] out of messages by topic.

        Raises `SpecError` naming what is missing; values may be NaN, `PolicySpec.check` judges.
        """
        found: dict[str, float] = {}
        for topic in reversed(tuple(messages)):  # of two that name a joint the first counts
            found |= self.read(topic, messages[topic])
        missing = [name for name in names if name not in found]
        if missing:
            named = [name for message in messages.values() for name in message.name]
            told = ", ".join(named) or "nothing"
            raise SpecError(f"joint states lack {', '.join(missing)}; they name: {told}")
        return np.array([found[name] for name in names], dtype=np.float64)
