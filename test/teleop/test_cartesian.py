"""A tool's motion as joints: it follows, it slows down, it never jumps."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import BEGIN_NS, HOME, ROBOT, TICK_NS

from arfm_ros.core.errors import SafetyError
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.teleop.cartesian import CartesianConfig, CartesianDrive

KIN = Chain(ROBOT, "arm")
ARM = HOME[:7]
SPEED = np.array([axis.velocity for axis in KIN.axes])
LOW = np.array([axis.low + axis.margin for axis in KIN.axes])
HIGH = np.array([axis.high - axis.margin for axis in KIN.axes])


def drive(q=ARM, **config) -> CartesianDrive:
    made = CartesianDrive(KIN, CartesianConfig(**config))
    made.begin(q, BEGIN_NS)
    return made


def run(made: CartesianDrive, twist, ticks: int, frame="base", q=ARM):
    path = [np.array(q)]
    for k in range(1, ticks + 1):
        path.append(made.twist(np.array(twist), frame, path[-1], BEGIN_NS + k * TICK_NS))
    return np.array(path)


def test_the_tool_moves_straight_at_the_speed_that_was_asked() -> None:
    path = run(drive(), [0.1, 0, 0, 0, 0, 0], 100)
    begin, end = KIN.forward(path[0]), KIN.forward(path[-1])
    assert end.position - begin.position == pytest.approx([0.1, 0, 0], abs=2e-3)
    assert end.rotation == pytest.approx(begin.rotation, abs=1e-2)


def test_in_the_frame_of_the_tool_down_is_forward() -> None:
    path = run(drive(), [0, 0, 0.1, 0, 0, 0], 50, "tool")
    moved = KIN.forward(path[-1]).position - KIN.forward(path[0]).position
    assert moved == pytest.approx(0.05 * KIN.forward(ARM).rotation[:, 2], abs=2e-3)


@pytest.mark.parametrize("seed", range(20))
def test_no_input_makes_a_step_that_joints_cannot_do_or_leaves_their_limits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made, q, twist = drive(), ARM.copy(), np.zeros(6)
    for k in range(1, 400):
        if k % 50 == 1:
            twist = rng.normal(0, 10.0 ** rng.integers(-2, 6), 6)
        new = made.twist(twist, "base", q, BEGIN_NS + k * TICK_NS)
        assert (np.abs(new - q) <= 0.5 * SPEED * 0.01 + 1e-9).all()
        assert (new >= LOW - 1e-9).all() and (new <= HIGH + 1e-9).all()
        q = new


def test_towards_a_stretched_arm_it_slows_down_and_the_way_back_is_free() -> None:
    made = drive(limit_rad=0.01)
    path = run(made, [0.25, 0, 0.1, 0, 0, 0], 1200)
    smallest = [np.linalg.svd(KIN.jacobian(q), compute_uv=False)[-1] for q in path]
    assert min(smallest) > 0.01
    steps = np.abs(np.diff(path, axis=0)).max(axis=1)
    assert steps[-1] < 0.1 * steps[10]
    back = path[-1]
    for k in range(100):
        now_ns = BEGIN_NS + (1300 + k) * TICK_NS
        back = made.twist(np.array([-0.2, 0, 0, 0, 0, 0]), "base", back, now_ns)
    moved = KIN.forward(back).position - KIN.forward(path[-1]).position
    assert moved[0] < -0.05


def test_it_waits_for_an_arm_that_does_not_move() -> None:
    made, q = drive(ahead_rad=0.1), ARM
    for k in range(1, 500):
        q = made.twist(np.array([0.2, 0, 0, 0, 0, 0]), "base", ARM, BEGIN_NS + k * TICK_NS)
    assert 0.05 < np.abs(q - ARM).max() <= 0.1 and "keep up" in made.note


def test_a_pose_is_reached_from_where_the_clutch_was_closed() -> None:
    made, q, moved = drive(), ARM, np.eye(4)
    moved[:3, 3] = 0.05, -0.08, 0.02
    for k in range(1, 300):
        q = made.pose(moved, "base", q, BEGIN_NS + k * TICK_NS)
    shift = KIN.forward(q).position - KIN.forward(ARM).position
    assert shift == pytest.approx([0.05, -0.08, 0.02], abs=1e-3)


def test_a_long_pause_of_the_node_is_no_long_step() -> None:
    made = drive()
    q = made.twist(np.array([1.0, 0, 0, 0, 0, 0]), "base", ARM, BEGIN_NS + 10**10)
    assert np.abs(q - ARM).max() < 0.06


@pytest.mark.parametrize(
    "twist, frame, words", [([np.nan] * 6, "base", "finite"), ([0.0] * 6, "map", "frame 'map'")]
)
def test_nan_and_unknown_frames_are_refused(twist, frame: str, words: str) -> None:
    with pytest.raises(SafetyError, match=words):
        drive().twist(np.array(twist), frame, ARM, BEGIN_NS + TICK_NS)
