"""A gripper behind control_msgs/action/GripperCommand: a goal on change, never one per tick.

ros2_control's server takes a new goal at any time and drops the old one (`accepted_callback`,
`preempt_active_goal`). Franka's and others block: see `goals` for one goal at a time.
Position: metres or radians of the driver, by the scale and offset of the axis. Franka: half the
width, 0..0.04 m, so scale 25. Robotiq 2F-85: 0 open to 0.8 rad closed, so scale -1.25, offset 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from arfm_ros.robots.commands.controller import Tools
from arfm_ros.robots.commands.messages import Interface
from arfm_ros.robots.commands.opening import ChangedOpening, GripperController
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import Target
from arfm_ros.robots.robot import Group

ACTION = "control_msgs/action/GripperCommand"


@dataclass(frozen=True, slots=True)
class Options:
    """When a goal is sent, and how hard it may press."""

    name: str = "gripper_action_controller"  # in the controller manager, and of its action
    change_min: float = 0.02  # of the opening; fully open and fully closed are always sent
    gap_s: float = 0.1  # between goals
    max_effort: float = 0.0  # N or Nm; 0: the driver's own


@dataclass(frozen=True, slots=True)
class GripperGoal:
    """A goal; `max_effort` 0: the controller's own."""

    position: float
    max_effort: float

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make a goal of the action."""
        goal = interface(ACTION).Goal()
        goal.command.position, goal.command.max_effort = self.position, self.max_effort
        return goal

    def target(self) -> Target:
        """Return the position."""
        return np.array([self.position]), np.zeros(0)


def gripper_command(group: Group, options: Options, tools: Tools) -> GripperController:
    """Return the controller that sends goals by the newest opening."""
    topic = (f"{options.name}/gripper_cmd", ACTION)
    changed = ChangedOpening(options.change_min, gap_s=options.gap_s)

    def goal(position: float) -> GripperGoal:
        return GripperGoal(position, options.max_effort)

    return GripperController(group, options.name, topic, changed, goal)


register(Kind("gripper_command", Options, gripper_command, units=("1",), axes_max=1))
