"""Kinematics by pinocchio: against published parameters, against itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from math import pi
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.load import load_robot, read_robot, robot_names
from arfm_ros.robots.files.writing import write_robot
from arfm_ros.robots.kinematics import model
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.poses import Pose, from_rotation_vectors, rotation_vectors

ARM = str(Path(__file__).parent / "made_up_arm" / "arm.yaml")
ARMS = [
    (name, group.name)
    for name in (*robot_names(), ARM)
    for group in load_robot(name).groups
    if group.tool
]
F64 = NDArray[np.float64]
rng = np.random.default_rng(3)

pytest.importorskip("pinocchio")


def arm(name: str, group: str = "arm") -> ArmKinematics:
    """Make the kinematics of a robot's arm."""
    return ArmKinematics(load_robot(name), group)


def postures(kinematics: ArmKinematics, count: int) -> F64:
    """Draw postures within the limits; one turn of what has none."""
    low, high = np.clip(kinematics.low, -pi, pi), np.clip(kinematics.high, -pi, pi)
    return rng.uniform(low, high, (count, len(low)))


def test_the_ur5e_equals_its_published_dh_parameters() -> None:
    kinematics = arm("ur5e")
    a, d = (0.0, -0.425, -0.3922, 0.0, 0.0, 0.0), (0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996)
    alpha = (pi / 2, 0.0, 0.0, pi / 2, -pi / 2, 0.0)
    for q in postures(kinematics, 20):
        chain = np.diag([-1.0, -1.0, 1.0, 1.0])  # the controller's base is turned by pi
        for i in range(6):
            c, s, ca, sa = np.cos(q[i]), np.sin(q[i]), np.cos(alpha[i]), np.sin(alpha[i])
            chain = chain @ np.array([
                [c, -s * ca, s * sa, a[i] * c],
                [s, c * ca, -c * sa, a[i] * s],
                [0.0, sa, ca, d[i]],
                [0.0, 0.0, 0.0, 1.0],
            ])
        np.testing.assert_allclose(kinematics.forward(q, "tool0").matrix, chain, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "frame", "reach"), [("gen3", "end_effector_link", 1.1873), ("iiwa14", "tool0", 1.306)]
)
def test_a_stretched_arm_is_as_high_as_its_maker_says(name: str, frame: str, reach: float) -> None:
    kinematics = arm(name)
    assert kinematics.forward(np.zeros(7), frame).position[2] == pytest.approx(reach, abs=1e-3)


@pytest.mark.parametrize(("name", "group"), ARMS)
def test_the_jacobian_is_the_derivative_of_the_pose(name: str, group: str) -> None:
    kinematics = arm(name, group)
    step = 1e-6
    for q in postures(kinematics, 5):
        jacobian = kinematics.jacobian(q)
        for column in range(len(q)):
            ahead, back = (
                kinematics.forward(q + sign * step * np.eye(len(q))[column]) for sign in (1, -1)
            )
            moved = (ahead.position - back.position) / (2 * step)
            turned = rotation_vectors(ahead.rotation @ back.rotation.T) / (2 * step)
            np.testing.assert_allclose(jacobian[:3, column], moved, atol=1e-7)
            np.testing.assert_allclose(jacobian[3:, column], turned, atol=1e-7)


@pytest.mark.parametrize(("name", "group"), ARMS)
def test_poses_are_reached_from_nearby_seeds_within_the_limits(name: str, group: str) -> None:
    kinematics = arm(name, group)
    found = []
    for q in postures(kinematics, 300):
        seed = np.clip(q + rng.normal(0.0, 0.2, len(q)), kinematics.low, kinematics.high)
        pose = kinematics.forward(q)
        solution = kinematics.inverse(pose, seed=seed)
        assert (solution.q >= kinematics.low).all() and (solution.q <= kinematics.high).all()
        if solution.converged:
            reached = kinematics.forward(solution.q)
            np.testing.assert_allclose(reached.matrix, pose.matrix, atol=3e-6)
        found.append(solution.converged)
    assert np.mean(found) >= 0.99


def test_what_the_pose_leaves_free_is_drawn_to_the_posture() -> None:
    kinematics = arm("fr3")
    pose = kinematics.forward(kinematics.home)
    for q in kinematics.home + rng.normal(0.0, 0.15, (5, 7)):
        solution = kinematics.inverse(pose, seed=q, posture=kinematics.home)
        assert solution.converged
        np.testing.assert_allclose(solution.q, kinematics.home, atol=1e-3)


def test_a_pose_out_of_reach_is_said_and_the_limits_are_kept() -> None:
    kinematics = arm("iiwa14")
    solution = kinematics.inverse(Pose.of([3.0, 0.0, 0.5], np.eye(3)))
    assert not solution.converged and solution.error_m > 1.0
    assert (np.abs(solution.q) <= kinematics.high).all()


def test_a_joint_without_end_may_turn_further_than_once() -> None:
    kinematics = arm("gen3")
    q = kinematics.home + 0.1
    more = q + 2 * pi * np.array([3, 0, -2, 0, 1, 0, 0])
    np.testing.assert_allclose(
        kinematics.forward(q).matrix, kinematics.forward(more).matrix, atol=1e-9
    )
    solution = kinematics.inverse(kinematics.forward(more), seed=more + 0.05)
    assert solution.converged and np.abs(solution.q - more).max() < 0.3


def test_a_stretched_arm_is_singular_and_home_is_not() -> None:
    kinematics = arm("ur5e")
    stretched = kinematics.singularity([0.0, -pi / 2, 0.0, -pi / 2, 0.5, 0.0], "tool0")
    assert stretched.smallest < 1e-9 and stretched.manipulability < 1e-9
    assert kinematics.singularity(kinematics.home).smallest > 0.1


def test_a_hand_that_comes_to_the_column_is_near_to_it() -> None:
    kinematics = arm("fr3")
    folded = np.array([0.0, -1.5, 0.0, -3.0, 0.0, 1.2, 0.8])
    near = kinematics.self_distance(folded)
    assert near.metres < kinematics.self_distance(kinematics.home).metres
    assert {near.first, near.second} <= set(kinematics.frames)


@pytest.mark.parametrize("name", ["fr3", "gen3", "ur5e"])
def test_links_that_touch_overlap_and_those_at_home_do_not(name: str) -> None:
    kinematics = arm(name)
    assert kinematics.self_distance(kinematics.home).metres > 0.0
    assert min(kinematics.self_distance(q).metres for q in postures(kinematics, 200)) < 0.0


def test_an_arm_without_shapes_has_nothing_near() -> None:
    robot = load_robot(ARM)
    mesh = '<geometry><mesh filename="package://gone/part.stl"/></geometry>'
    text = robot.description.replace('<geometry><sphere radius="0.04"/></geometry>', mesh)
    for size in ("0.24 0.06 0.06", "0.24 0.05 0.05", "0.2 0.2 0.1"):
        text = text.replace(f'<geometry><box size="{size}"/></geometry>', mesh)
    kinematics = ArmKinematics(replace(robot, description=text), "arm")
    assert kinematics.self_distance(kinematics.home).metres == float("inf")
    np.testing.assert_array_equal(
        kinematics.forward(kinematics.home).matrix, arm(ARM).forward(kinematics.home).matrix
    )


def test_each_of_two_arms_is_seen_from_its_own_base() -> None:
    left, right, one = (
        arm("fr3_two_arms", "left_arm"),
        arm("fr3_two_arms", "right_arm"),
        arm("fr3"),
    )
    for q in postures(one, 5):
        np.testing.assert_allclose(left.forward(q).matrix, one.forward(q).matrix, atol=1e-12)
        np.testing.assert_allclose(right.jacobian(q), one.jacobian(q), atol=1e-12)
    apart = left.forward(left.home, "right_base").position
    np.testing.assert_allclose(apart, [0.0, -0.8, 0.0], atol=1e-12)


def test_a_gripper_moves_its_fingers_and_those_that_follow() -> None:
    kinematics = ArmKinematics(load_robot(ARM))
    q = kinematics.home.copy()
    q[-1] = 0.5
    hand, a, b = (
        kinematics.forward(q, frame).matrix for frame in ("hand", "finger_a", "finger_b")
    )
    assert (np.linalg.inv(hand) @ a)[1, 3] == pytest.approx(0.025)
    assert (np.linalg.inv(hand) @ b)[1, 3] == pytest.approx(-(0.5 * 0.025 + 0.01))
    rate = kinematics.jacobian(q, "finger_b")[:3, -1]
    np.testing.assert_allclose(rate, hand[:3, 1] * 0.025, atol=1e-12)


def test_an_unknown_frame_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="group 'arm' has no frame 'top'; .* has floor, sled"):
        arm(ARM).forward(np.zeros(6), "top")
    with pytest.raises(ConfigError, match="has no frame, and no tool in its YAML"):
        ArmKinematics(load_robot(ARM), "hand").forward(np.zeros(1))
    with pytest.raises(ConfigError, match=r"q has shape \(5,\), needs \(6,\)"):
        arm(ARM).forward(np.zeros(5))
    robot = load_robot(ARM)
    moving = replace(robot, groups=(replace(robot.groups[0], base="upper"),))
    with pytest.raises(ConfigError, match="base 'upper' of group 'arm' moves"):
        ArmKinematics(moving, "arm")


def test_a_joint_may_have_the_name_of_a_link() -> None:
    robot = load_robot(ARM)
    same = replace(robot, description=robot.description.replace('"tip_joint"', '"tip"'))
    kinematics = ArmKinematics(same, "arm")
    assert kinematics.forward(kinematics.home).position[2] > 0.3


def test_a_joint_that_was_fixed_follows_no_more() -> None:
    robot = load_robot(ARM)
    moving = '<joint name="finger_b_joint" type="prismatic">'
    text = robot.description.replace(moving, moving.replace("prismatic", "fixed"))
    fixed = read_robot(write_robot(replace(robot, description=text)))
    assert [name for name, _, _ in fixed.axes[-1].mimics] == ["finger_a_joint"]
    kinematics = ArmKinematics(fixed, "arm")
    assert kinematics.forward(kinematics.home).position[2] > 0.3


def test_without_pinocchio_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pinocchio", None)
    with pytest.raises(ConfigError, match=r'pip install "arfm_ros\[arms\]".*pinocchio'):
        model.pinocchio()


def test_nothing_imports_pinocchio_before_it_is_needed() -> None:
    code = (
        "import sys, arfm_ros.robots.kinematics.arm, arfm_ros.robots.files.load as d;"
        "d.load_robot('fr3'); sys.exit('pinocchio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_rotation_vector_is_exact_up_to_half_a_turn() -> None:
    axes = rng.normal(size=(200, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    for angle in (0.0, 1e-12, 1e-6, 1.0, 3.0, pi - 1e-9):
        vectors = angle * axes
        back = rotation_vectors(from_rotation_vectors(vectors))
        np.testing.assert_allclose(back, vectors, atol=1e-9)
