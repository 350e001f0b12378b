"""A ros2_control forward command controller on position interfaces: bare positions, every tick.

It keeps the last positions for ever (`ForwardControllersBase::update`), which is a hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from arfm_ros.robots.commands.messages import FLOAT64_ARRAY
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import Values
from arfm_ros.robots.robot import Group


@dataclass(frozen=True, slots=True)
class Options:
    """Where the controller is."""

    name: str = "forward_position_controller"  # in the controller manager, and of its topic


class ForwardPosition:
    """Positions by index."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._name, self._numbers = group, options.name, Numbers(group)
        self._topic = self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic of positions."""
        return (command_topic(group, f"{self._name}/commands", FLOAT64_ARRAY),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return the positions of this tick."""
        if decision.command is None:
            return ()
        return (Outgoing(self._topic, Values(self._numbers.positions(decision.command))),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph; this controller reads by index too."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.parameter_joints(self._name, self._group, graph),
            *preflight.active(self._name, graph),
        )


register(Kind("forward_position", Options, ForwardPosition, units=("rad", "m", "1")))
