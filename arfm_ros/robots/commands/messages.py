"""Between plain values and ROS messages: the one place; the caller brings the classes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from arfm_ros.robots.commands.graph import ControllerInfo
from arfm_ros.robots.commands.values import (
    F64,
    GripperGoal,
    JointTarget,
    ParallelGripperGoal,
    PoseTarget,
    Trajectory,
    Value,
    Values,
)

NS = 1_000_000_000
# Key of a `Topic` -> interface; those of control_msgs exist only where it is installed
INTERFACES: Mapping[str, str] = {
    "JointState": "sensor_msgs/msg/JointState",
    "PoseStamped": "geometry_msgs/msg/PoseStamped",
    "JointTrajectory": "trajectory_msgs/msg/JointTrajectory",
    "Float64MultiArray": "std_msgs/msg/Float64MultiArray",
    "GripperCommand": "control_msgs/action/GripperCommand",
    "ParallelGripperCommand": "control_msgs/action/ParallelGripperCommand",
}
Interface = Callable[[str], Any]  # "package/msg/Type" -> class, such as `nodes.topics.interface`


def message_of(value: Value, stamp_ns: int, interface: Interface) -> Any:
    """Make the message of `value`, or the goal of an action, stamped `stamp_ns` of ROS time."""
    return _MAKERS[type(value)](value, stamp_ns, interface)


def controllers_of(response: Any) -> tuple[ControllerInfo, ...]:
    """Read a response of controller_manager_msgs/srv/ListControllers; parameters stay unknown."""
    return tuple(ControllerInfo(one.name, one.type, one.state) for one in response.controller)


def _doubles(values: F64) -> array[float]:
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def _set_time(field: Any, ns: int) -> None:
    field.sec, field.nanosec = divmod(ns, NS)


def _joint_target(value: JointTarget, stamp_ns: int, interface: Interface) -> Any:
    message = interface(INTERFACES["JointState"])(name=list(value.names))
    _set_time(message.header.stamp, stamp_ns)
    message.header.frame_id = value.frame
    message.position = _doubles(value.position)
    message.velocity = _doubles(value.velocity)
    return message


def _pose_target(value: PoseTarget, stamp_ns: int, interface: Interface) -> Any:
    message = interface(INTERFACES["PoseStamped"])()
    _set_time(message.header.stamp, stamp_ns)
    message.header.frame_id = value.frame
    at, turn = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = value.position.tolist()
    turn.x, turn.y, turn.z, turn.w = value.quaternion_xyzw.tolist()
    return message


def _trajectory(value: Trajectory, stamp_ns: int, interface: Interface) -> Any:
    message = interface(INTERFACES["JointTrajectory"])(joint_names=list(value.names))
    _set_time(message.header.stamp, stamp_ns)
    make = interface("trajectory_msgs/msg/JointTrajectoryPoint")
    for time_ns, position, velocity in zip(value.times_ns, value.positions, value.velocities):
        point = make(positions=_doubles(position), velocities=_doubles(velocity))
        _set_time(point.time_from_start, time_ns)
        message.points.append(point)
    return message


def _values(value: Values, _: int, interface: Interface) -> Any:
    return interface(INTERFACES["Float64MultiArray"])(data=_doubles(value.data))


def _gripper_goal(value: GripperGoal, _: int, interface: Interface) -> Any:
    goal = interface(INTERFACES["GripperCommand"]).Goal()
    goal.command.position, goal.command.max_effort = value.position, value.max_effort
    return goal


def _parallel_goal(value: ParallelGripperGoal, stamp_ns: int, interface: Interface) -> Any:
    goal = interface(INTERFACES["ParallelGripperCommand"]).Goal()
    _set_time(goal.command.header.stamp, stamp_ns)
    goal.command.name, goal.command.position = [value.name], array("d", (value.position,))
    if value.max_velocity > 0.0:
        goal.command.velocity = array("d", (value.max_velocity,))
    if value.max_effort > 0.0:
        goal.command.effort = array("d", (value.max_effort,))
    return goal


_MAKERS: Mapping[type[Value], Callable[[Any, int, Interface], Any]] = {
    JointTarget: _joint_target,
    PoseTarget: _pose_target,
    Trajectory: _trajectory,
    Values: _values,
    GripperGoal: _gripper_goal,
    ParallelGripperGoal: _parallel_goal,
}
