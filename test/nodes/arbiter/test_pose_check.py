"""The controller's own tool pose tells of a joint that is off from the start, on any arm."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from arfm_ros.nodes.arbiter import pose_check  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402
from arfm_ros.robots.kinematics.chain import Chain  # noqa: E402

ROBOTS = {name: load_robot(name) for name in ("fr3", "ur5e", "gen3")}


def reason(monkeypatch, offset, frame="base", tolerance=0.05, name="fr3"):
    robot = ROBOTS[name]
    home, arm = np.array([axis.home for axis in robot.axes]), robot.groups[0]
    now = [10**12]
    monkeypatch.setattr(pose_check.time, "monotonic_ns", lambda: now[0])
    check = pose_check.PoseCheck(tolerance, robot)
    tool = Chain(robot, arm.name).forward(home[: len(arm.axes)])
    at, turn = tool.position, tool.quaternion
    for _ in range(5):
        now[0] += 200_000_000
        pose = PoseStamped()
        pose.header.frame_id = frame
        place, way = pose.pose.position, pose.pose.orientation
        place.x, place.y, place.z = at.tolist()
        way.x, way.y, way.z, way.w = turn.tolist()
        check.on_pose(pose)
        check.on_state(0, home + offset)
    return check.reason


@pytest.mark.parametrize("joint", range(7))
def test_an_offset_of_any_joint_is_told_with_the_knob(monkeypatch, joint):
    said = reason(monkeypatch, 0.3 * np.eye(8)[joint])
    assert "from current_pose" in said and "pose_tolerance" in said


def test_what_fits_is_in_another_frame_or_is_switched_off_is_not_told(monkeypatch):
    assert reason(monkeypatch, np.zeros(8)) == ""
    assert reason(monkeypatch, 0.3 * np.eye(8)[1], frame="camera") == ""
    assert reason(monkeypatch, 0.3 * np.eye(8)[1], tolerance=0.0) == ""


@pytest.mark.parametrize("name", ["ur5e", "gen3"])
def test_other_arms_are_compared_too_in_their_own_base(monkeypatch, name):
    robot = ROBOTS[name]
    base, off = robot.groups[0].base, 0.3 * np.eye(len(robot.names))[1]
    assert reason(monkeypatch, 0.0 * off, base, name=name) == ""
    assert "from current_pose" in reason(monkeypatch, off, base, name=name)


def test_a_robot_without_a_description_or_with_two_arms_is_not_compared(monkeypatch):
    for robot in (replace(ROBOTS["fr3"], description=""), load_robot("fr3_two_arms")):
        check = pose_check.PoseCheck(0.05, robot)
        check.on_pose(PoseStamped())
        check.on_state(JointState(), np.zeros(len(robot.names)))
        assert check.reason == ""
