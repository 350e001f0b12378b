"""From plain values to ROS messages, and real goals where they exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arfm_ros.robots.commands import values
from arfm_ros.robots.commands.graph import ControllerInfo
from arfm_ros.robots.commands.messages import controllers_of
from arfm_ros.robots.controllers import gripper_command, parallel_gripper_command
from arfm_ros.robots.controllers.gripper_command import GripperGoal
from arfm_ros.robots.controllers.parallel_gripper_command import ParallelGripperGoal
from arfm_ros.robots.fr3 import facts as fr3

pytest.importorskip("rclpy")
STAMP_NS = 12_345_678_901_234_567


def random(*shape: int) -> values.F64:
    return np.random.default_rng(3).standard_normal(shape)


def made(value: values.Value) -> Any:
    from arfm_ros.nodes.ros.topics import interface

    return value.message(STAMP_NS, interface)


def stamped(message: Any) -> bool:
    stamp = message.header.stamp
    return stamp.sec * 1_000_000_000 + stamp.nanosec == STAMP_NS


def test_a_joint_target_keeps_names_frame_and_every_bit() -> None:
    q, v = random(7), random(7) + 1
    message = made(values.JointTarget(fr3.JOINT_NAMES, q, v, fr3.BASE_FRAME))
    assert stamped(message) and message.header.frame_id == fr3.BASE_FRAME
    assert tuple(message.name) == fr3.JOINT_NAMES
    assert (message.position.tolist(), message.velocity.tolist()) == (q.tolist(), v.tolist())


def test_a_pose_target_is_position_and_quaternion_xyzw() -> None:
    q = random(7)
    message = made(values.PoseTarget(q[:3], q[3:], "base"))
    at, turn = message.pose.position, message.pose.orientation
    assert stamped(message) and message.header.frame_id == "base"
    assert [at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w] == q.tolist()


def test_a_trajectory_has_times_from_its_stamp() -> None:
    p, times = random(2, 7), (150_000_000, 1_200_000_000)
    message = made(values.Trajectory(fr3.JOINT_NAMES, times, p, p + 1))
    found = [p.time_from_start.sec * 10**9 + p.time_from_start.nanosec for p in message.points]
    assert stamped(message) and tuple(found) == times
    assert [point.positions.tolist() for point in message.points] == p.tolist()
    assert [point.velocities.tolist() for point in message.points] == (p + 1).tolist()


def test_values_are_a_plain_array() -> None:
    assert made(values.Values(random(7))).data.tolist() == random(7).tolist()


def test_goals_of_grippers_are_made_of_the_real_types() -> None:
    pytest.importorskip("control_msgs", reason="control_msgs is not installed here")
    from arfm_ros.nodes.ros.topics import interface

    goal = GripperGoal(0.02, 5.0).message(STAMP_NS, interface)
    assert type(goal) is interface(gripper_command.ACTION).Goal
    assert (goal.command.position, goal.command.max_effort) == (0.02, 5.0)
    value = ParallelGripperGoal("knuckle", 0.4, 0.0, 5.0)
    parallel = value.message(STAMP_NS, interface)
    assert type(parallel) is interface(parallel_gripper_command.ACTION).Goal
    command = parallel.command
    assert (command.name, list(command.position)) == (["knuckle"], [0.4])
    assert not len(command.velocity) and list(command.effort) == [5.0]


def test_the_list_of_a_controller_manager_is_read() -> None:
    pytest.importorskip(
        "controller_manager_msgs", reason="controller_manager_msgs is not installed here"
    )
    from controller_manager_msgs.msg import ControllerState
    from controller_manager_msgs.srv import ListControllers

    kind = "joint_trajectory_controller/JointTrajectoryController"
    state = ControllerState(name="arm", state="inactive", type=kind)
    response = ListControllers.Response(controller=[state])
    assert controllers_of(response) == (ControllerInfo("arm", kind, "inactive"),)
