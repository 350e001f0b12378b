"""A gripper on a forward command controller: one number, sent on change and twice a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands import preflight
from arfm_ros.robots.commands.controller import (
    Ahead,
    Numbers,
    Outgoing,
    Tools,
    Topic,
    command_topic,
)
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import Values
from arfm_ros.robots.controllers.opening import ChangedOpening
from arfm_ros.robots.robot import Group

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """When an opening is sent; the number comes from the axis's scale and offset."""

    name: str = "gripper_position_controller"  # in the controller manager
    change_min: float = 0.005  # of the opening
    refresh_s: float = 0.5


class Float64Array:
    """The opening as the gripper's own number, by the scale and offset of its axis."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._name, self._numbers = group, options.name, Numbers(group)
        self._opening = ChangedOpening(options.change_min, round(options.refresh_s * NS))
        self._topic = self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic of the gripper's number."""
        return (command_topic(group, f"gripper/{self._name}/commands", "Float64MultiArray"),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return the gripper's number when it is worth sending."""
        if decision.command is None:
            self._opening.forget()
            return ()
        opening = self._opening.due(float(decision.command[0]), now_ns)
        if opening is None:
            return ()
        return (Outgoing(self._topic, Values(self._numbers.positions(np.array([opening])))),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.active(self._name, graph),
        )


register(Kind("float64_array", Options, Float64Array, units=("1",), axes_max=1))
