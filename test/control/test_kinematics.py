"""Laws of the FR3's kinematics."""

import numpy as np
import pytest

from arfm_ros.control import fr3, kinematics

LOW, HIGH = np.asarray(fr3.POSITION_MIN_RAD), np.asarray(fr3.POSITION_MAX_RAD)


def poses(count: int, seed: int = 0) -> np.ndarray:
    """Draw joint angles [count, 7] within the limits."""
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, fr3.DOF))


def test_home_posture_has_the_published_tool_pose() -> None:
    position, _ = kinematics.forward(np.asarray(fr3.HOME))
    assert position == pytest.approx([0.30689, 0.0, 0.48688], abs=1e-4)
    rotation = kinematics.tool_transform(np.asarray(fr3.HOME))[:3, :3]
    assert np.allclose(rotation, kinematics.pointing_down(0.0), atol=1e-12)


def test_jacobian_is_the_derivative_of_the_forward_kinematics() -> None:
    for q in poses(20):
        jac, tool = kinematics.jacobian(q)
        for i in range(fr3.DOF):
            step = np.zeros(fr3.DOF)
            step[i] = 1e-6
            moved = kinematics.tool_transform(q + step)
            linear = (moved[:3, 3] - tool[:3, 3]) / 1e-6
            angular = kinematics.rotation_vector(moved[:3, :3] @ tool[:3, :3].T) / 1e-6
            assert np.allclose(np.concatenate([linear, angular]), jac[:, i], atol=1e-4)


def test_quaternion_and_matrix_are_inverse() -> None:
    for q in poses(50):
        rotation = kinematics.tool_transform(q)[:3, :3]
        quaternion = kinematics.quaternion_from_matrix(rotation)
        assert np.linalg.norm(quaternion) == pytest.approx(1.0)
        assert np.allclose(kinematics.matrix_from_quaternion(quaternion), rotation, atol=1e-9)


def test_inverse_reaches_every_pose_over_the_table() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        position = rng.uniform([0.32, -0.28, 0.01], [0.66, 0.28, 0.38])
        rotation = kinematics.pointing_down(float(rng.uniform(-0.8, 0.8)))
        solution = kinematics.inverse(position, rotation, np.asarray(fr3.HOME))
        assert solution.error_m < 1e-4 and solution.error_rad < 1e-3
        assert (solution.position_rad > LOW).all() and (solution.position_rad < HIGH).all()


def test_inverse_says_how_far_an_unreachable_pose_is() -> None:
    rotation = kinematics.pointing_down(0.0)
    solution = kinematics.inverse(np.array([2.0, 0.0, 0.3]), rotation, np.asarray(fr3.HOME))
    assert solution.error_m > 0.5
    assert np.isfinite(solution.position_rad).all()
