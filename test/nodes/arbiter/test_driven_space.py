"""Where a robot may be: the boxes of its YAML, and those of the arbiter's parameters."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from arfm_ros.nodes.arbiter.robot import DrivenRobot  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402
from arfm_ros.robots.kinematics.chain import tool_chain  # noqa: E402

FAR, EVERYWHERE = (5.0, 5.0, 5.0, 6.0, 6.0, 6.0), (-9.0, -9.0, -9.0, 9.0, 9.0, 9.0)


def home_and_tool(name):
    robot = load_robot(name)
    home = np.array([axis.home for axis in robot.axes])
    at = tool_chain(robot).forward(home[: len(robot.groups[0].axes)]).position
    return robot, home, (*(at - 0.05), *(at + 0.05))


def depth(robot, home, room=(), keep_out=()):
    return float(DrivenRobot(robot, lambda: home).space(room, keep_out, -1.0).depth(home))


@pytest.mark.parametrize("name", ["fr3", "ur5e"])
def test_boxes_of_the_yaml_count_and_those_of_parameters_are_added(name):
    if name != "fr3":
        pytest.importorskip("pinocchio")
    robot, home, around = home_and_tool(name)
    assert depth(robot, home) <= 0.0
    inside = replace(robot, keep_out=around)
    assert depth(inside, home) > 0.04 and depth(inside, home, keep_out=FAR) > 0.04
    assert depth(robot, home, keep_out=around) > 0.04
    outside = replace(robot, workspace=FAR)
    assert depth(outside, home) > 1.0
    assert depth(outside, home, room=EVERYWHERE) < 0.0  # the parameter stands in for it
