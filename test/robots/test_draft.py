"""A draft of a robot from what it publishes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError
from arfm_ros.installed import share
from arfm_ros.robots.files.draft import Heard, draft, write_new
from arfm_ros.robots.files.load import load_robot, read_robot, robot_names
from arfm_ros.robots.robot import Robot

FOREIGN = Path(__file__).with_name("foreign_robot.py")
KNUCKLE = "robotiq_85_left_knuckle_joint"


def heard(robot: Robot, **more: object) -> Heard:
    """Let a robot publish the joints of its description at home, all on one topic."""
    driven = {axis.mimics[0][0] if axis.unit == "1" else axis.name: axis for axis in robot.axes}
    states = {name: 0.01 if axis.unit == "1" else axis.home for name, axis in driven.items()}
    return Heard(robot.description, {"joint_states": states}, **more)  # type: ignore[arg-type]


def read(text: str, robot: Robot) -> Robot:
    """Read a draft, whose URDF is the robot's."""
    (name,) = (line for line in text.splitlines() if line.startswith("description: "))
    folder = share("config", "robots", "urdf")
    return read_robot(text.replace(name, f"description: {robot.name}.urdf"), folder)


@pytest.mark.parametrize("name", robot_names())
def test_a_draft_of_a_known_robot_has_its_axes_frames_and_limits(name: str) -> None:
    robot = load_robot(name)
    found = read(draft(name, heard(robot), "x.urdf"), robot)
    arms = [group for group in robot.groups if group.kind == "arm"]
    drafted = [group for group in found.groups if group.kind == "arm"]
    assert [g.names for g in drafted] == [g.names for g in arms]
    assert [g.name for g in drafted] == [g.name for g in arms]
    assert [g.tool for g in drafted] == [g.tool for g in arms]
    for axis, wanted in zip(
        (a for g in drafted for a in g.axes), (a for g in arms for a in g.axes)
    ):
        assert (axis.low, axis.high, axis.velocity) == (wanted.low, wanted.high, wanted.velocity)
        assert axis.home == pytest.approx(wanted.home, abs=1e-4)
    grippers = [group.axes[0].mimics for group in robot.groups if group.kind == "gripper"]
    assert [g.axes[0].mimics for g in found.groups if g.kind == "gripper"] == grippers


def test_controllers_and_cameras_are_those_that_were_heard() -> None:
    robot = load_robot("fr3_two_arms")
    inputs = {
        "left/joint_trajectory_controller/joint_trajectory": "trajectory_msgs/msg/JointTrajectory",
        "right/target_joint": "sensor_msgs/msg/JointState",
        "right/gripper/gripper_position_controller/commands": "std_msgs/msg/Float64MultiArray",
        "left/gripper/gripper_cmd": "control_msgs/action/GripperCommand",
    }
    images = ("scene/image_raw", "wrist/color/image_raw")
    text = draft("two", heard(robot, inputs=inputs, images=images), "x.urdf")
    found = {group.name: group for group in read(text, robot).groups}
    assert found["left_arm"].controller.kind == "jtc"
    assert found["right_arm"].controller.kind == "crisp_joint"
    assert found["left_gripper"].controller.kind == "gripper_command"
    assert found["right_gripper"].controller.kind == "float64_array"
    for group, topic in zip(found.values(), ("left/joint", "right/target", "left/gr", "right/gr")):
        assert group.command_topics["command"].startswith(topic)
    assert [camera.name for camera in read(text, robot).cameras] == ["scene", "wrist"]


def test_joint_states_of_something_else_are_said() -> None:
    strange = Heard(load_robot("fr3").description, {"joint_states": {"wheel": 0.0}})
    with pytest.raises(ConfigError, match=r"no joint of the description .* \(joint_states\)"):
        draft("x", strange, "x.urdf")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_new(tmp_path / "new", "arm", "text", "<robot/>")
    with pytest.raises(ConfigError, match="arm.yaml exists: give another name"):
        write_new(tmp_path / "new", "arm", "text", "<robot/>")


def test_a_running_robot_is_drafted_and_the_draft_passes_the_check(
    tmp_path: Path, ros_domain: int, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy")
    robot = load_robot("ur5e")
    urdf = share("config", "robots", "urdf", "ur5e.urdf")
    states = ",".join(f"{axis.name}={axis.home}" for axis in robot.group("arm").axes)
    trajectory = "scaled_joint_trajectory_controller/joint_trajectory"
    words = [str(urdf), f"{states},{KNUCKLE}=0.4", trajectory, "wrist/image_raw"]
    foreign = subprocess.Popen(
        [sys.executable, str(FOREIGN), *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert foreign.stdout is not None and foreign.stdout.readline() == "ready\n"
        assert main(["robot", "new", "mine", "--out", str(tmp_path), "--wait", "20"]) == 0
    finally:
        foreign.kill()
        foreign.wait(timeout=10)
    assert "lines say CHECK" in capfd.readouterr().out
    mine = load_robot(str(tmp_path / "mine.yaml"))
    assert mine.names == robot.names and mine.description == urdf.read_text()
    assert mine.group("arm").controller.kind == "jtc"
    assert mine.group("arm").command_topics == {"command": trajectory}
    assert [(c.name, c.topic) for c in mine.cameras] == [("wrist", "wrist/image_raw")]
    assert main(["robot", "check", str(tmp_path / "mine.yaml")]) == 0
    assert main(["robot", "new", "mine", "--out", str(tmp_path), "--wait", "0.2"]) == 1
    assert "heard no robot_description within 0.2 s" in capfd.readouterr().err
