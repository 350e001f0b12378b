"""From plain values to ROS messages: the same bytes as before, and real goals where they exist."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.control import backends, fr3
from arfm_ros.robots.controllers import values
from arfm_ros.robots.controllers.graph import ControllerInfo
from arfm_ros.robots.controllers.messages import INTERFACES, controllers_of, message_of

pytest.importorskip("rclpy")
STAMP_NS = 12_345_678_901_234_567


def random(*shape: int) -> values.F64:
    return np.random.default_rng(3).standard_normal(shape)


def pairs() -> list[tuple[values.Value, backends.Command]]:
    times = (150_000_000, 1_200_000_000)
    q, v, p = random(7), random(7) + 1, random(2, 7)
    names = fr3.JOINT_NAMES
    return [
        (values.JointTarget(names, q, v, fr3.BASE_FRAME), backends.JointTarget(q, v)),
        (values.PoseTarget(q[:3], q[3:], fr3.BASE_FRAME), backends.PoseTarget(q[:3], q[3:])),
        (values.Trajectory(names, times, p, p + 1), backends.Trajectory(times, p, p + 1)),
        (values.Values(q), backends.Values(q)),
    ]


@pytest.mark.parametrize(("new", "old"), pairs(), ids=lambda value: type(value).__name__)
def test_messages_have_the_bytes_they_had(new: values.Value, old: backends.Command) -> None:
    from rclpy.serialization import serialize_message

    from arfm_ros.nodes.arbiter_outputs import MESSAGES
    from arfm_ros.nodes.convert import ns_to_time
    from arfm_ros.nodes.topics import interface

    before = MESSAGES[type(old)](old, ns_to_time(STAMP_NS))
    now = message_of(new, STAMP_NS, interface)
    assert serialize_message(now) == serialize_message(before)


def test_goals_of_grippers_are_made_of_the_real_types() -> None:
    pytest.importorskip("control_msgs", reason="control_msgs is not installed here")
    from arfm_ros.nodes.topics import interface

    goal = message_of(values.GripperGoal(0.02, 5.0), STAMP_NS, interface)
    assert type(goal) is interface(INTERFACES["GripperCommand"]).Goal
    assert (goal.command.position, goal.command.max_effort) == (0.02, 5.0)
    value = values.ParallelGripperGoal("knuckle", 0.4, 0.0, 5.0)
    parallel = message_of(value, STAMP_NS, interface)
    assert type(parallel) is interface(INTERFACES["ParallelGripperCommand"]).Goal
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
