"""Action spaces: there and back, exact sums, limits."""

from __future__ import annotations

import json
from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.robots.actions.joint import span
from arfm_ros.robots.actions.spaces import (
    ActionSpace,
    read_actions,
    read_space,
    write_actions,
    write_space,
)
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.poses import euler_xyz, from_euler_xyz, from_rotation_vectors

pytest.importorskip("pinocchio")

F64 = NDArray[np.float64]
ARM = str(Path(__file__).parent / "made_up_arm" / "arm.yaml")
rng = np.random.default_rng(11)
JOINTS: list[dict[str, Any]] = [
    {"space": "joint_position"},
    {"space": "joint_position", "reference": "measured", "scale": 0.2},
    {"space": "joint_position", "reference": "previous"},
    {"space": "joint_velocity", "dt_s": 0.1, "scale": 0.5},
]
TOOLS: list[dict[str, Any]] = [
    {"space": "tool_pose", "reference": reference, "rotation": rotation, "frame": frame}
    for reference in ("absolute", "measured", "previous")
    for rotation in ("quaternion", "axis_angle", "rotation_6d", "euler_xyz")
    for frame in ("base", "tool")
    if reference != "absolute" or frame == "base"
]
TOOLS += [
    {"space": "tool_velocity", "dt_s": 0.1, "frame": "tool"},
    {"space": "tool_pose", "reference": "previous", "rotation": "axis_angle"}
    | {"position_scale": 0.05, "rotation_scale": 0.5},
]
GRIPPERS: list[dict[str, Any]] = [
    {"space": "gripper_opening", "closed": 1.0, "open": -1.0},
    {"space": "gripper_width", "width_m": 0.08},
    {"space": "gripper_binary", "closed": 1.0, "open": -1.0},
]


def make(name: str, raw: dict[str, Any], group: str = "arm") -> tuple[ActionSpace, ArmKinematics]:
    """Make a space of a robot's group, and the kinematics of its arm."""
    robot = load_robot(name)
    kinematics = ArmKinematics(robot, "arm")
    return read_space({"group": group, **raw}, robot, lambda _: kinematics), kinematics


def motion(kinematics: ArmKinematics, steps: int = 16) -> tuple[F64, F64]:
    """Draw a start near home and a smooth path from it."""
    size = len(kinematics.home)
    start = kinematics.home + rng.uniform(-0.2, 0.2, size)
    speed = rng.uniform(-0.4, 0.4, size)
    path = start + np.sin(np.linspace(0.05, 1.5, steps))[:, None] * speed
    return start, np.clip(path, kinematics.low, kinematics.high)


@pytest.mark.parametrize("raw", JOINTS, ids=str)
@pytest.mark.parametrize("name", ["fr3", "ur5e", "gen3", "iiwa14", ARM])
def test_joint_actions_are_the_path_that_they_were_made_of(name: str, raw: dict[str, Any]) -> None:
    space, kinematics = make(name, raw)
    start, path = motion(kinematics)
    actions = space.from_joints(path, start)
    assert actions.dtype == np.float32 and actions.shape[1] == len(space.names)
    np.testing.assert_allclose(space.to_joints(actions, start), path, atol=1e-5)


@pytest.mark.parametrize("raw", TOOLS, ids=str)
def test_tool_actions_of_a_six_joint_arm_are_the_path_that_they_were_made_of(
    raw: dict[str, Any],
) -> None:
    space, kinematics = make("ur5e", raw)
    start, path = motion(kinematics)
    actions = space.from_joints(path, start)
    np.testing.assert_allclose(space.to_joints(actions, start), path, atol=2e-4)


@pytest.mark.parametrize("raw", TOOLS, ids=str)
@pytest.mark.parametrize("name", ["fr3", "gen3", "iiwa14"])
def test_tool_actions_of_a_seven_joint_arm_are_the_poses_that_they_were_made_of(
    name: str, raw: dict[str, Any]
) -> None:
    space, kinematics = make(name, raw)
    start, path = motion(kinematics, 6)
    back = space.to_joints(space.from_joints(path, start), start)
    for q, wanted in zip(back, path):
        np.testing.assert_allclose(
            kinematics.forward(q).matrix, kinematics.forward(wanted).matrix, atol=1e-5
        )


@pytest.mark.parametrize("raw", GRIPPERS, ids=str)
def test_gripper_actions_are_the_openings_that_they_were_made_of(raw: dict[str, Any]) -> None:
    space, _ = make("fr3", raw, "gripper")
    path = np.array([[0.0], [1.0], [1.0], [0.0]])
    if raw["space"] != "gripper_binary":
        path = np.vstack([path, rng.uniform(0.0, 1.0, (5, 1))])
    start = np.array([1.0])
    back = space.to_joints(space.from_joints(path, start), start)
    np.testing.assert_allclose(back, path, atol=1e-6)


@pytest.mark.parametrize("frame", ["base", "tool"])
@pytest.mark.parametrize("name", ["fr3", "ur5e"])
def test_a_sum_of_pose_steps_is_exact(name: str, frame: str) -> None:
    raw = {"space": "tool_pose", "reference": "previous", "rotation": "axis_angle"}
    space, kinematics = make(name, {**raw, "frame": frame})
    steps = np.zeros((40, 6))
    steps[:] = np.concatenate([rng.uniform(-4e-3, 4e-3, 3), rng.uniform(-0.012, 0.012, 3)])
    exact = kinematics.forward(kinematics.home).matrix.copy()
    for step, q in zip(steps, space.to_joints(steps, kinematics.home)):
        turn = from_rotation_vectors(step[3:])
        if frame == "tool":
            exact[:3, 3] += exact[:3, :3] @ step[:3]
            exact[:3, :3] = exact[:3, :3] @ turn
        else:
            exact[:3, 3] += step[:3]
            exact[:3, :3] = turn @ exact[:3, :3]
        reached = kinematics.forward(q)
        assert np.linalg.norm(reached.position - exact[:3, 3]) < 1e-4  # wanted: 1 mm
        cosine = 0.5 * (np.trace(reached.rotation @ exact[:3, :3].T) - 1.0)
        assert np.arccos(np.clip(cosine, -1.0, 1.0)) < 2e-4  # wanted: 2 mrad


@pytest.mark.parametrize("name", ["fr3", "ur5e", "gen3", "iiwa14", ARM])
@pytest.mark.parametrize("raw", JOINTS[2:], ids=str)
def test_sums_of_joint_steps_stop_at_the_limits(name: str, raw: dict[str, Any]) -> None:
    space, kinematics = make(name, raw)
    low, high = span(space.group)
    for sign in (-1.0, 1.0):
        path = space.to_joints(np.full((200, len(low)), sign * 2.0), kinematics.home)
        assert (path >= low).all() and (path <= high).all()
        if raw["space"] == "joint_velocity":
            fastest = np.array([axis.velocity for axis in space.group.axes])
            steps = np.abs(np.diff(np.vstack([kinematics.home, path]), axis=0))
            assert (steps <= fastest * raw["dt_s"] + 1e-12).all()


def test_tool_actions_stay_within_the_limits_or_are_refused() -> None:
    space, kinematics = make("fr3", TOOLS[-1])
    down = np.zeros((60, 6))
    down[:, 0] = 1.0
    with pytest.raises(SafetyError, match=r"of 60 of group 'arm' is a pose out of reach by"):
        space.to_joints(down, kinematics.home)
    few = space.to_joints(down[:3], kinematics.home)
    assert (few >= kinematics.low).all() and (few <= kinematics.high).all()


def test_an_arm_that_stands_in_its_margin_may_stay_there() -> None:
    space, kinematics = make("fr3", TOOLS[-1])
    q = kinematics.home.copy()
    q[5] = space.group.axes[5].low + 0.005
    path = space.to_joints(np.zeros((2, 6)), q)
    np.testing.assert_allclose(path, [q, q], atol=1e-5)
    summed, _ = make("fr3", JOINTS[2])
    steps = np.zeros((2, 7))
    steps[:, 5] = -0.01, 0.03
    held = summed.to_joints(steps, q)[:, 5]
    np.testing.assert_allclose(held, [q[5], q[5] + 0.03])


def test_an_endless_joint_takes_the_nearest_turn() -> None:
    space, kinematics = make("gen3", JOINTS[0])
    q = kinematics.home + 2 * pi * np.array([2, 0, 0, 0, -1, 0, 0])
    path = space.to_joints(np.repeat(kinematics.home[None] + 0.01, 3, axis=0), q)
    np.testing.assert_allclose(path, np.repeat(q[None] + 0.01, 3, axis=0), atol=1e-12)


def test_a_binary_gripper_keeps_its_state_in_the_dead_band() -> None:
    space, _ = make("fr3", {"space": "gripper_binary"}, "gripper")
    values = np.array([[0.5], [0.59], [0.61], [0.45], [0.39], [0.55]])
    for start, first in ((0.0, 0.0), (1.0, 1.0)):
        path = space.to_joints(values, np.array([start]))[:, 0]
        np.testing.assert_array_equal(path, [first, first, 1.0, 1.0, 0.0, 0.0])


def test_liberos_and_droids_actions_can_be_said() -> None:
    robot = load_robot("fr3")
    kinematics = ArmKinematics(robot, "arm")
    libero = read_actions(
        [
            {"group": "arm", "space": "tool_pose", "reference": "previous", "clip": 1.0}
            | {"rotation": "axis_angle", "position_scale": 0.05, "rotation_scale": 0.5},
            {"group": "gripper", "space": "gripper_binary", "closed": 1.0, "open": -1.0},
        ],
        robot,
        lambda _: kinematics,
    )
    q = np.append(kinematics.home, 1.0)
    action = np.array([[0.2, -9.0, 0.0, 0.0, 0.0, 0.1, 1.0]])
    path = libero.to_joints(action, q)
    moved = kinematics.forward(path[0, :7]).position - kinematics.forward(q[:7]).position
    np.testing.assert_allclose(moved, [0.01, -0.05, 0.0], atol=1e-5)
    assert path[0, 7] == 0.0 and len(libero.names) == 7
    droid = {"group": "arm", "space": "joint_position", "reference": "previous", "scale": 0.2}
    moved = read_actions([droid], robot, lambda _: kinematics).to_joints(np.full((1, 7), 0.5), q)
    np.testing.assert_allclose(moved[0], [*(kinematics.home + 0.1), 1.0])


@pytest.mark.parametrize("raw", [*JOINTS, *TOOLS, *GRIPPERS], ids=str)
def test_what_is_written_is_read_as_the_same_space(raw: dict[str, Any]) -> None:
    space, _ = make("fr3", raw, "gripper" if raw in GRIPPERS else "arm")
    written = json.loads(json.dumps(write_space(space)))
    again, _ = make("fr3", written, written["group"])
    assert again.options == space.options and again.names == space.names


def test_a_whole_robot_goes_there_and_back() -> None:
    robot = load_robot("fr3_two_arms")
    raw = [
        {"group": "right_arm", "space": "joint_position", "reference": "measured"},
        {"group": "left_gripper", "space": "gripper_opening"},
    ]
    actions = read_actions(raw, robot, lambda name: ArmKinematics(robot, name))
    assert json.loads(json.dumps(write_actions(actions))) == raw
    q = rng.uniform(0.0, 0.5, len(robot.names))
    path = actions.to_joints(rng.uniform(0.0, 0.1, (4, 8)), q)
    np.testing.assert_array_equal(path[:, :7], np.repeat(q[None, :7], 4, axis=0))
    back = actions.to_joints(actions.from_joints(path, q), q)
    np.testing.assert_allclose(back, path, atol=1e-6)
    with pytest.raises(ConfigError, match="group 'right_arm' has two action spaces"):
        read_actions([raw[0], raw[0]], robot, lambda name: ArmKinematics(robot, name))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"space": "tool"}, "is 'tool', needs one of joint_position, joint_velocity"),
        ({"space": "joint_position", "dt": 1}, "has no option 'dt', it has: reference, scale"),
        ({"space": "joint_velocity"}, "joint_velocity lacks dt_s"),
        ({"space": "joint_position", "reference": "last"}, "is 'last', needs one of absolute"),
        ({"space": "joint_position", "scale": "big"}, "scale is 'big', needs a number"),
        ({"space": "tool_pose", "rotation": "matrix"}, "is 'matrix', needs one of quaternion"),
        ({"space": "tool_pose", "frame": "tool"}, "absolute in the base's frame only"),
        (
            {"space": "tool_pose", "reference": "measured", "rotation_scale": 2.0},
            "needs rotation axis_angle or euler_xyz, not quaternion",
        ),
        ({"space": "gripper_opening"}, "needs a gripper of unit 1, group 'arm' is none"),
        ({"group": "claw", "space": "tool_pose"}, "has no group 'claw', it has: arm, gripper"),
        ({"group": "gripper", "space": "tool_pose"}, "needs a tool, group 'gripper' names none"),
    ],
)
def test_a_wrong_description_says_what_would_be_right(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make("fr3", raw)
    assert says in str(caught.value)


def test_actions_of_a_wrong_shape_or_no_number_are_refused() -> None:
    space, kinematics = make("fr3", JOINTS[0])
    with pytest.raises(SafetyError, match=r"shape \(4, 6\), needs \(steps, 7\)"):
        space.to_joints(np.zeros((4, 6)), kinematics.home)
    broken = np.zeros((4, 7))
    broken[2, 1] = np.nan
    with pytest.raises(SafetyError, match="not finite at step 2"):
        space.to_joints(broken, kinematics.home)


def test_euler_angles_go_there_and_back() -> None:
    angles = rng.uniform([-pi, -1.5, -pi], [pi, 1.5, pi], (100, 3))
    np.testing.assert_allclose(euler_xyz(from_euler_xyz(angles)), angles, atol=1e-9)
