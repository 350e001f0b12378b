"""A gripper behind control_msgs/action/GripperCommand: a goal on change, never one per tick.

ros2_control's server takes a new goal at any time and drops the old one (`accepted_callback`,
`preempt_active_goal`). Franka's and others block: see `goals` for one goal at a time.
Position: metres or radians of the driver, by the scale and offset of the axis. Franka: half the
width, 0..0.04 m, so scale 25. Robotiq 2F-85: 0 open to 0.8 rad closed, so scale -1.25, offset 1.
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
)
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import GripperGoal
from arfm_ros.robots.controllers.opening import ChangedOpening
from arfm_ros.robots.robot import Group

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """When a goal is sent, and how hard it may press."""

    name: str = "gripper_action_controller"  # in the controller manager, and of its action
    change_min: float = 0.02  # of the opening; fully open and fully closed are always sent
    gap_s: float = 0.1  # between goals
    max_effort: float = 0.0  # N or Nm; 0: the driver's own


class GripperCommand:
    """Goals by the newest opening."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._options, self._numbers = group, options, Numbers(group)
        self._opening = ChangedOpening(options.change_min, gap_ns=round(options.gap_s * NS))
        self._topic = self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the action."""
        return (command_topic(group, f"{self._options.name}/gripper_cmd", "GripperCommand"),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return a goal when the opening changed enough."""
        if decision.command is None:
            self._opening.forget()
            return ()
        opening = self._opening.due(float(decision.command[0]), now_ns)
        if opening is None:
            return ()
        position = float(self._numbers.positions(np.array([opening]))[0])
        return (Outgoing(self._topic, GripperGoal(position, self._options.max_effort)),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.active(self._options.name, graph),
        )


register(Kind("gripper_command", Options, GripperCommand, units=("1",), axes_max=1))
