"""All controllers of a robot together, each with its own part of the decision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from controller_rig import Stack, arm, axes, fr3_robot, gripper

from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands.graph import Graph
from arfm_ros.robots.commands.values import F64, Trajectory, Values
from arfm_ros.robots.commands.whole import WholeRobot, columns
from arfm_ros.robots.robot import Robot


def two_arms() -> Robot:
    """Two arms of three joints with trajectories, and a gripper between them."""
    left = replace(arm("jtc"), name="left", axes=axes(0, 3))
    topic = {"command": "right/joint_trajectory"}
    right = replace(arm("jtc"), name="right", axes=axes(3, 6), command_topics=topic)
    return Robot("two", (left, gripper("float64_array"), right))


def test_columns_follow_the_order_of_the_groups() -> None:
    assert columns(two_arms()) == {
        "left": slice(0, 3),
        "gripper": slice(3, 4),
        "right": slice(4, 7),
    }


def test_each_controller_gets_its_own_axes_and_the_path_ahead_is_made_once() -> None:
    asked = []

    def ahead(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
        asked.append((step_ns, count))
        return np.tile(np.arange(7.0), (count, 1)), np.zeros((count, 7))

    command = np.arange(7.0)
    whole = WholeRobot(two_arms())
    sent = whole.commands(Decision(command, np.zeros(7), "policy"), 0, ahead)
    left, grip, right = (out.value for out in sent)
    assert isinstance(left, Trajectory) and isinstance(right, Trajectory)
    assert left.positions[0].tolist() == [0.0, 1.0, 2.0]
    assert isinstance(grip, Values) and grip.data.tolist() == [1.0]  # 3, clipped
    assert right.positions[0].tolist() == [4.0, 5.0, 6.0]
    assert left.names == ("fr3_joint1", "fr3_joint2", "fr3_joint3")
    assert len(asked) == 1


def test_nothing_is_sent_while_idle_and_everything_when_engaged() -> None:
    stack = Stack(fr3_robot())
    assert not stack.tick()
    topics = [out.topic.name for out in stack.engage().tick()]
    assert topics == ["target_joint", "gripper/gripper_position_controller/commands"]


def test_a_preflight_speaks_of_every_group() -> None:
    found = WholeRobot(fr3_robot()).preflight(Graph("/arbiter_node"))
    assert set(found) == {"arm", "gripper"} and all(found.values())
