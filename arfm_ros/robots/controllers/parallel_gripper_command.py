"""A gripper behind control_msgs/action/ParallelGripperCommand: a goal on change.

The server refuses a goal that has not exactly one position (`GripperActionController::
goal_callback`), and takes speed and effort only where it has interfaces for them.
"""

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
    message_names,
)
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import ParallelGripperGoal
from arfm_ros.robots.controllers.opening import ChangedOpening
from arfm_ros.robots.robot import Group

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """When a goal is sent, how fast and how hard."""

    name: str = "parallel_gripper_action_controller"  # in the controller manager, of its action
    change_min: float = 0.02  # of the opening; fully open and fully closed are always sent
    gap_s: float = 0.1  # between goals
    max_velocity: float = 0.0  # m/s or rad/s; 0: the controller's own
    max_effort: float = 0.0  # N or Nm; 0: the controller's own


class ParallelGripperCommand:
    """Goals by the newest opening, with the name of the joint."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._options, self._numbers = group, options, Numbers(group)
        self._opening = ChangedOpening(options.change_min, gap_ns=round(options.gap_s * NS))
        self._topic = self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the action."""
        name = f"{self._options.name}/gripper_cmd"
        return (command_topic(group, name, "ParallelGripperCommand"),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return a goal when the opening changed enough."""
        if decision.command is None:
            self._opening.forget()
            return ()
        opening = self._opening.due(float(decision.command[0]), now_ns)
        if opening is None:
            return ()
        position = float(self._numbers.positions(np.array([opening]))[0])
        name, options = message_names(self._group)[0], self._options
        goal = ParallelGripperGoal(name, position, options.max_velocity, options.max_effort)
        return (Outgoing(self._topic, goal),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.active(self._options.name, graph),
        )


register(
    Kind("parallel_gripper_command", Options, ParallelGripperCommand, units=("1",), axes_max=1)
)
