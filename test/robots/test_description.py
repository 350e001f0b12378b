"""A robot from its YAML and its URDF."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.load import findings, load_robot, read_robot, robot_names
from arfm_ros.robots.files.writing import write_robot
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.robot import Robot

FOLDER = Path(__file__).parent / "made_up_arm"
ARM = str(FOLDER / "arm.yaml")
TEXT = Path(ARM).read_text()
ALL = (*robot_names(), ARM)


def read(old: str = "", new: str = "") -> Robot:
    """Read the made-up arm with a change of its YAML."""
    assert old in TEXT
    return read_robot(TEXT.replace(old, new, 1), FOLDER)


def test_the_shipped_robots_are_listed() -> None:
    assert robot_names() == ("fr3", "fr3_two_arms", "gen3", "iiwa14", "ur5e")


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_is_read_as_the_same_robot(name: str) -> None:
    robot = load_robot(name)
    assert read_robot(write_robot(robot)) == robot
    assert read_robot(write_robot(replace(robot, description=""))).names == robot.names


@pytest.mark.parametrize("name", robot_names())
def test_a_shipped_robot_has_nothing_to_remark(name: str) -> None:
    assert findings(load_robot(name)) == ()


def test_the_fr3_is_the_one_that_policies_know() -> None:
    robot = load_robot("fr3")
    arm, gripper = robot.group("arm"), robot.group("gripper")
    assert robot.names == (*fr3.JOINT_NAMES, fr3.GRIPPER_NAME)
    assert tuple(axis.low for axis in arm.axes) == fr3.POSITION_MIN_RAD
    assert tuple(axis.high for axis in arm.axes) == fr3.POSITION_MAX_RAD
    assert tuple(axis.velocity for axis in arm.axes) == fr3.VELOCITY_MAX_RAD_S
    assert tuple(axis.home for axis in arm.axes) == fr3.HOME
    assert (arm.base, arm.tool) == (fr3.BASE_FRAME, fr3.TOOL_FRAME)
    assert (gripper.axes[0].message_name, gripper.axes[0].scale) == ("gripper_joint", 1.0)
    assert gripper.axes[0].mimics[0] == ("fr3_finger_joint1", fr3.GRIPPER_WIDTH_M / 2, 0.0)


def test_an_opening_turns_the_joint_into_0_closed_and_1_open() -> None:
    axis = load_robot("ur5e").group("gripper").axes[0]
    assert axis.message_name == "robotiq_85_left_knuckle_joint"
    assert axis.scale * 0.8 + axis.offset == 0.0 and axis.scale * 0.0 + axis.offset == 1.0
    fingers = dict((name, (k, b)) for name, k, b in load_robot(ARM).axes[-1].mimics)
    assert fingers["finger_a_joint"] == (-0.05, 0.05)
    assert fingers["finger_b_joint"] == pytest.approx((-0.025, 0.035))


def test_limits_come_from_the_urdf_and_the_yaml_overrides_them() -> None:
    axes = {axis.name: axis for axis in load_robot(ARM).axes}
    assert (axes["lift"].low, axes["lift"].high, axes["lift"].velocity) == (-0.5, 2.5, 2.0)
    assert (axes["roll"].low, axes["roll"].high) == (-6.0, 6.0)
    assert axes["turn"].high == float("inf") and axes["turn"].unit == "rad"
    assert (axes["rail"].acceleration, axes["turn"].acceleration) == (1.0, 4.0)
    assert (axes["bend"].home, axes["nod"].home, axes["turn"].home) == (0.9, 0.3, 0.0)
    assert (axes["lift"].message_name, axes["lift"].scale) == ("motor_3", -0.5)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("      nod:", "      nodd:", "the URDF has no joint 'nodd', it has rail, turn, lift"),
        ("      nod:", "      tip_joint:", "is fixed and does not move, these do: rail"),
        ("      nod:", "      finger_b_joint:", "follows 'finger_a_joint' (mimic): command that"),
        ("      nod:", "      bend:", "'bend' is there twice"),
        ("home: 0.3", "unit: m", "is revolute: its unit is rad, not m"),
        ("home: 0.3", "unit: 1", "its unit is rad, not 1 (a gripper"),
        ("home: 0.3", "speed: 1", "has 'speed', known keys: home, low, high"),
        ("home: 0.3", "low: 3", "runs from 3 to 2: give low and high"),
        ("home: 0.3", "low: .nan", "low is nan, needs a number"),
        ("home: 0.3", "slowdown: [1, 2]", "needs low, high, offset, deceleration"),
        (
            "    acceleration: 4.0\n",
            "",
            "has no acceleration limit: give acceleration in the YAML",
        ),
        ("home: 0.3", "home: 3.0", "home is 3, needs to be in -2..2"),
        ("bend: 0.9}", "bent: 0.9}", "has 'bent', known keys: rail, turn"),
        ("base: floor", "base: roof", "base is 'roof', the URDF has the frames floor, sled"),
        ("tool: tip", "tool: top", "tool is 'top', the URDF has the frames"),
        ("    controller: gripper_command\n", "", "group 'hand' has no controller, needs one"),
        ("kind: jtc, ", "", "controller has no kind, such as jtc"),
        ("kind: gripper", "kind: claw", "kind is 'claw', needs one of arm, gripper"),
        ("    tool: tip", "    tol: tip", "has 'tol', known keys: kind, joints, controller"),
        ("name: made_up_arm", "nam: x", "the robot has 'nam', known keys: name, description"),
        ("home: 0.3", "scale: 0", "scale is 0, needs another number"),
        ("home: 0.3", "velocity: .inf", "has no velocity limit"),
        ("home: 0.3", "margin: 2.5", "margin 2.5 leaves nothing of -2..2"),
        ("home: 0.3", "margin: -0.1", "margin is -0.1, needs a number from 0"),
        ("closed: 0.05", "closed: 0.5", "needs two positions within the joint's 0..0.05"),
        ("joint: finger_a_joint, ", "joint: rail, ", "'rail' is moved by 'rail' and by 'grip'"),
        ("  hand:", "  arm:", "'arm' is there twice"),
        ("description: arm.urdf", "description: no.urdf", "cannot read the description"),
        ("groups:", "groups: [", "no YAML"),
        ("groups:", "goups:", "the robot has 'goups'"),
    ],
)
def test_a_mistake_is_one_error_that_says_what_would_be_right(
    old: str, new: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(old, new)
    assert says in str(caught.value)


def test_a_joint_belongs_to_one_group_and_to_one_axis() -> None:
    twice = "joints:\n      nod: {acceleration: 1}\n      grip: {opening:"
    with pytest.raises(ConfigError, match="'nod' is in two groups, arm and hand"):
        read("joints:\n      grip: {opening:", twice)
    with pytest.raises(ConfigError, match="'finger_a_joint' is moved by 'finger_a_joint' and by"):
        read("      nod:", "      finger_a_joint:\n      nod:")
    with pytest.raises(ConfigError, match="lists joint 'a' twice"):
        read_robot("name: r\ngroups: {arm: {kind: arm, joints: [a, a], controller: jtc}}")


def test_a_missing_velocity_limit_is_named() -> None:
    text = (FOLDER / "arm.urdf").read_text().replace('<limit velocity="2.0" effort="50"/>', "")
    inline = TEXT.replace("arm.urdf", "|\n  " + text.replace("\n", "\n  "))
    with pytest.raises(ConfigError, match="'turn' .* has no velocity limit: give velocity in"):
        read_robot(inline)


def test_a_robot_without_a_description_says_its_limits_itself() -> None:
    group = "{kind: arm, joints: {a: {low: -1, high: 1, velocity: 1, acceleration: 2}}"
    robot = read_robot(f"name: r\ngroups: {{arm: {group}, controller: jtc}}}}")
    assert robot.axes[0].unit == "rad" and "no kinematics" in findings(robot)[0]


def test_findings_are_no_errors() -> None:
    robot = read("      nod: {home: 0.3}\n", "")
    assert "in no group, taken as standing at 0: nod" in findings(robot)
    mesh = '<link name="floor"><visual><geometry><mesh filename="gone.stl"/></geometry></visual>'
    urdf = robot.description.replace('<link name="floor"/>', f"{mesh}</link>")
    assert "mesh gone.stl not found" in findings(replace(robot, description=urdf))[0]


def test_an_unknown_robot_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no robot 'ur55': give a YAML file, or one of: fr3, "):
        load_robot("ur55")


def test_boxes_are_read_written_and_refused_where_they_are_none() -> None:
    boxes = "workspace: [0, -1, 0, 1, 1, 1]\nkeep_out:\n- [0.2, -0.5, -1.0, 0.9, 0.5, 0.0]\n"
    robot = read_robot(f"{TEXT}\n{boxes}", FOLDER)
    assert robot.workspace == (0.0, -1.0, 0.0, 1.0, 1.0, 1.0)
    assert robot.keep_out == (0.2, -0.5, -1.0, 0.9, 0.5, 0.0)
    assert read_robot(write_robot(robot)) == robot
    two = replace(robot, keep_out=2 * robot.keep_out)
    assert read_robot(write_robot(two)) == two
    for wrong in ("[1, 2, 3]", "[[1, 2, 3]]", "[[0, 0, 0, 1, 1, up]]", "[[0, 0, 0, true, 1, 1]]"):
        with pytest.raises(ConfigError, match="keep_out has .* needs boxes"):
            read_robot(f"{TEXT}\nkeep_out: {wrong}\n", FOLDER)
    with pytest.raises(ConfigError, match=r"workspace: \[1.0.* is not below"):
        read_robot(f"{TEXT}\nworkspace: [1, 1, 1, 0, 0, 0]\n", FOLDER)
