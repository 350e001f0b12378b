"""The controller's own tool pose tells of a joint that is off from the start."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from arfm_ros.control import fr3, kinematics  # noqa: E402
from arfm_ros.nodes.arbiter import pose_check  # noqa: E402

HOME = np.append(np.asarray(fr3.HOME), 1.0)


def reason(monkeypatch, offset, frame="base", tolerance=0.05):
    now = [10**12]
    monkeypatch.setattr(pose_check.time, "monotonic_ns", lambda: now[0])
    check = pose_check.PoseCheck(tolerance)
    at, turn = kinematics.forward(HOME[:7])
    for _ in range(5):
        now[0] += 200_000_000
        pose, state = PoseStamped(), JointState()
        pose.header.frame_id = frame
        place, way = pose.pose.position, pose.pose.orientation
        place.x, place.y, place.z = at.tolist()
        way.x, way.y, way.z, way.w = turn.tolist()
        check.on_pose(pose)
        check.on_state(state, HOME + offset)
    return check.reason


@pytest.mark.parametrize("joint", range(7))
def test_an_offset_of_any_joint_is_told_with_the_knob(monkeypatch, joint):
    said = reason(monkeypatch, 0.3 * np.eye(8)[joint])
    assert "from current_pose" in said and "pose_tolerance" in said


def test_what_fits_is_in_another_frame_or_is_switched_off_is_not_told(monkeypatch):
    assert reason(monkeypatch, np.zeros(8)) == ""
    assert reason(monkeypatch, 0.3 * np.eye(8)[1], frame="camera") == ""
    assert reason(monkeypatch, 0.3 * np.eye(8)[1], tolerance=0.0) == ""
