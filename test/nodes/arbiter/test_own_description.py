"""The description that a running robot publishes counts, and has to stay."""

import re

import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String  # noqa: E402

from arfm_ros.nodes.arbiter.own_description import OwnDescription  # noqa: E402
from arfm_ros.nodes.arbiter.params import ArbiterParams  # noqa: E402
from arfm_ros.nodes.arbiter.robot import DrivenRobot  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402

PARAMS = ArbiterParams(robot="ur5e", plain_grippers=True)
URDF = load_robot("ur5e").description


def limits_of(text: str = ""):
    return PARAMS.config(DrivenRobot(PARAMS.robot_value(text), lambda: None)).limits


@pytest.fixture
def heard():
    return OwnDescription(limits_of(), limits_of)


def test_the_same_description_says_nothing(heard):
    heard.hear(String(data=URDF))
    assert heard.note == "" and heard.changed == ""


def test_tighter_limits_of_the_robot_are_named_and_count():
    adopted = []
    heard = OwnDescription(limits_of(), lambda text: adopted.append(limits_of(text)) or adopted[0])
    elbow = re.search(r'<joint name="elbow_joint".*?</joint>', URDF, re.S).group(0)
    heard.hear(String(data=URDF.replace(elbow, re.sub(r'upper="[^"]*"', 'upper="2.0"', elbow))))
    assert "elbow_joint" in heard.note and "which count" in heard.note
    assert adopted[0].high[2] == pytest.approx(2.0 - 0.02)


def test_a_description_of_another_robot_changes_nothing_and_says_why(heard):
    heard.hear(String(data=load_robot("iiwa14").description))
    assert "cannot be used" in heard.note and "shoulder_pan_joint" in heard.note


def test_a_description_that_changes_at_run_time_is_a_reason_to_stop(heard):
    heard.hear(String(data=URDF))
    heard.hear(String(data=URDF.replace("</robot>", "<!-- other tool --></robot>")))
    assert "changed while the arbiter runs" in heard.changed
