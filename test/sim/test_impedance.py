"""Laws of CRISP's impedance controllers; plain numpy."""

import numpy as np
import pytest

from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import PUBLISHED, TUNED, JointGains, TorqueLimits
from arfm_ros.sim.controllers.impedance import (
    CartesianImpedance,
    JointImpedance,
    TorqueSaturation,
    rotation_from_quaternion,
    rotation_vector,
)

HOME = np.array(fr3.HOME)
ZERO = np.zeros(fr3.DOF)


def saturated(guard: TorqueSaturation, torque: np.ndarray, position: np.ndarray, bias: np.ndarray):
    out = np.zeros(fr3.DOF)
    guard.limit(torque, position, bias, out)
    return out


def test_the_joint_law_is_the_published_one_clamped_to_max_tau():
    """tau = K (q_ref - q) + D (dq_ref - dq); published K and D: 5 and 0.5 times the weights."""
    weights = np.array([150.0, 150.0, 150.0, 150.0, 50.0, 30.0, 10.0])
    np.testing.assert_array_equal(PUBLISHED.stiffness, 5.0 * weights)
    np.testing.assert_array_equal(PUBLISHED.damping, 0.5 * weights)
    rng = np.random.default_rng(0)
    for gains in (PUBLISHED, TUNED, JointGains(max_torque_nm=1e9)):
        law, out = JointImpedance(gains), np.zeros(fr3.DOF)
        for scale in (1e-3, 1e-2, 1.0):
            q, dq, law.position[:], law.velocity[:] = rng.normal(0, scale, (4, fr3.DOF))
            spring = np.array(gains.stiffness) * (law.position - q)
            asked = spring + np.array(gains.damping) * (law.velocity - dq)
            law.torque(q, dq, out)
            limit = gains.max_torque_nm
            np.testing.assert_allclose(out, np.clip(asked, -limit, limit))
    assert PUBLISHED.max_torque_nm == 5.0


def test_torque_without_gravity_changes_by_at_most_max_delta_tau():
    guard, rng = TorqueSaturation(), np.random.default_rng(0)
    previous = guard.previous.copy()
    for _ in range(300):
        saturated(guard, rng.uniform(-200, 200, fr3.DOF), HOME, ZERO)
        assert (np.abs(guard.previous - previous) <= TorqueLimits().max_delta_nm + 1e-12).all()
        previous = guard.previous.copy()


def test_the_sent_torque_stays_within_the_published_limits_whatever_is_asked():
    guard = TorqueSaturation()
    for _ in range(300):
        sent = saturated(guard, ZERO + 1e6, HOME, ZERO + 70.0)
    assert np.array_equal(sent, np.array(fr3.TORQUE_MAX_NM))


def test_a_reachable_torque_passes_unchanged_and_gravity_is_added_at_once():
    guard, bias = TorqueSaturation(), np.linspace(-9, 9, fr3.DOF)
    asked = np.full(fr3.DOF, 0.5)
    assert np.allclose(saturated(guard, asked, HOME, bias), asked + bias)


@pytest.mark.parametrize("side", [-1, 1])
def test_near_a_joint_limit_a_torque_grows_to_5_nm_over_the_last_0_3_rad(side):
    ends = np.array(fr3.POSITION_MAX_RAD if side > 0 else fr3.POSITION_MIN_RAD)
    for distance, wanted in ((0.4, 0.0), (0.3, 0.0), (0.15, 2.5), (0.0, 5.0), (-0.1, 5.0)):
        guard = TorqueSaturation()
        for _ in range(20):
            sent = saturated(guard, ZERO, ends - side * distance, ZERO)
        np.testing.assert_allclose(sent, -side * wanted, atol=1e-9)


@pytest.mark.parametrize("gains", [PUBLISHED, TUNED])
def test_no_velocity_is_sent_that_displaces_the_arm_by_more_than_a_tenth_of_a_radian(gains):
    """At rest K (q_ref - q) + D dq_ref = 0, so q - q_ref = D dq_ref / K."""
    for speed in np.linspace(0.0, 6.0, 61):
        for sign in (-1.0, 1.0):
            field = gains.field(np.full(fr3.DOF, sign * speed))
            away = np.array(gains.damping) * field / np.array(gains.stiffness)
            assert (np.abs(away) <= 0.1).all() and (sign * field >= 0.0).all()
            assert (np.abs(field) <= speed + 1e-12).all()
    slow = np.full(fr3.DOF, 0.5)
    np.testing.assert_array_equal(gains.field(slow), slow)


def test_the_rotation_vector_gives_back_axis_and_angle():
    rng = np.random.default_rng(1)
    for angle in (0.0, 1e-9, 1e-3, 1.0, 3.0, np.pi - 1e-9, np.pi):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        quaternion = (*(np.sin(angle / 2) * axis), np.cos(angle / 2))
        vector = np.array(rotation_vector(rotation_from_quaternion(quaternion)))
        error = min(np.linalg.norm(vector - angle * axis), np.linalg.norm(vector + angle * axis))
        assert error < 1e-6
        assert angle > 3.0 or np.allclose(vector, angle * axis, atol=1e-6)


def test_the_posture_torque_does_not_push_the_tool():
    law, out = CartesianImpedance(), np.zeros(fr3.DOF)
    jacobian = np.random.default_rng(2).normal(size=(6, fr3.DOF))
    law.posture[:] = HOME + 0.3
    law.torque((HOME, ZERO), (law.position, law.rotation), jacobian, out)
    assert np.linalg.norm(out) > 0.1
    # What a joint torque does at the tool is (J J^T)^-1 J tau.
    assert np.abs(np.linalg.solve(jacobian @ jacobian.T, jacobian @ out)).max() < 1e-2


def test_the_cartesian_law_pulls_with_its_stiffness():
    law, out = CartesianImpedance(), np.zeros(fr3.DOF)
    jacobian = np.hstack([np.eye(6), np.zeros((6, 1))])
    law.posture[:] = HOME
    law.position[:] = (0.01, 0.0, 0.0)
    law.torque((HOME, ZERO), (np.zeros(3), np.eye(3)), jacobian, out)
    assert out[0] == pytest.approx(0.01 * law.stiffness[0])
    assert np.allclose(out[1:], 0.0, atol=1e-9)
