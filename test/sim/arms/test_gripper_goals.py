"""The gripper's action of a simulated robot; needs control_msgs and real processes."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("control_msgs", reason="control_msgs is not installed here")

from arms_rig import Robot
from rclpy.action import ActionClient

from arfm_ros.nodes.ros.topics import interface

pytestmark = pytest.mark.robot


@pytest.mark.parametrize(
    ("robot", "kind"), [("ur5e", "GripperCommand"), ("gen3", "ParallelGripperCommand")]
)
def test_a_goal_moves_the_fingers_and_ends_when_they_are_there(robot: str, kind: str) -> None:
    with Robot(robot, ("joint_states",)) as running:
        action = interface(f"control_msgs/action/{kind}")
        name = "robotiq_gripper_controller/gripper_cmd"
        client = ActionClient(running.client.node, action, name)
        running.client.until(client.server_is_ready)
        goal = action.Goal()
        parallel = kind.startswith("Parallel")
        goal.command.position = [0.5] if parallel else 0.5
        sent = client.send_goal_async(goal)
        running.client.until(sent.done)
        assert sent.result().accepted
        asked = sent.result().get_result_async()
        begin = time.monotonic()
        running.client.until(asked.done)
        result = asked.result().result
        assert result.reached_goal and not result.stalled
        assert 0.1 < time.monotonic() - begin < 10.0
        there = running.positions()["robotiq_85_left_knuckle_joint"]
        assert there == pytest.approx(0.5, abs=0.03)
