"""A gripper behind control_msgs/action/ParallelGripperCommand: a goal on change.

The server refuses a goal that has not exactly one position (`GripperActionController::
goal_callback`), and takes speed and effort only where it has interfaces for them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from arfm_ros.robots.commands.controller import Tools, message_names
from arfm_ros.robots.commands.messages import Interface, set_time
from arfm_ros.robots.commands.opening import ChangedOpening, GripperController
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import Target
from arfm_ros.robots.robot import Group

ACTION = "control_msgs/action/ParallelGripperCommand"


@dataclass(frozen=True, slots=True)
class Options:
    """When a goal is sent, how fast and how hard."""

    name: str = "parallel_gripper_action_controller"  # in the controller manager, of its action
    change_min: float = 0.02  # of the opening; fully open and fully closed are always sent
    gap_s: float = 0.1  # between goals
    max_velocity: float = 0.0  # m/s or rad/s; 0: the controller's own
    max_effort: float = 0.0  # N or Nm; 0: the controller's own


@dataclass(frozen=True, slots=True)
class ParallelGripperGoal:
    """A goal, with the name of the joint; 0: the controller's own."""

    name: str
    position: float
    max_velocity: float
    max_effort: float

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make a goal of the action."""
        goal = interface(ACTION).Goal()
        set_time(goal.command.header.stamp, stamp_ns)
        goal.command.name, goal.command.position = [self.name], array("d", (self.position,))
        if self.max_velocity > 0.0:
            goal.command.velocity = array("d", (self.max_velocity,))
        if self.max_effort > 0.0:
            goal.command.effort = array("d", (self.max_effort,))
        return goal

    def target(self) -> Target:
        """Return the position."""
        return np.array([self.position]), np.zeros(0)


def parallel_gripper_command(group: Group, options: Options, tools: Tools) -> GripperController:
    """Return the controller that sends goals by the newest opening."""
    topic = (f"{options.name}/gripper_cmd", ACTION)
    changed, (name,) = (
        ChangedOpening(options.change_min, gap_s=options.gap_s),
        message_names(group),
    )

    def goal(position: float) -> ParallelGripperGoal:
        return ParallelGripperGoal(name, position, options.max_velocity, options.max_effort)

    return GripperController(group, options.name, topic, changed, goal)


register(
    Kind("parallel_gripper_command", Options, parallel_gripper_command, units=("1",), axes_max=1)
)
