"""Laws of the impedance controllers; plain numpy."""

import numpy as np
import pytest

from arfm_ros.control import fr3
from arfm_ros.control.impedance import (
    PERIOD_S,
    CartesianImpedance,
    JointImpedance,
    TorqueGuard,
    rotation_from_quaternion,
    rotation_vector,
)

HOME = np.array(fr3.HOME)
ZERO = np.zeros(fr3.DOF)


def guarded(guard: TorqueGuard, torque: np.ndarray, position: np.ndarray, bias: np.ndarray):
    out = np.zeros(fr3.DOF)
    guard.limit(torque, position, bias, out)
    return out


def test_at_its_target_and_at_rest_the_joint_law_asks_for_nothing():
    law, out = JointImpedance(), np.ones(fr3.DOF)
    law.position[:] = HOME
    law.acceleration(HOME, ZERO, out)
    assert np.array_equal(out, ZERO)


def test_the_joint_law_pulls_towards_the_target_and_brakes_motion():
    law, out = JointImpedance(), np.zeros(fr3.DOF)
    law.position[:] = HOME + 0.01
    law.acceleration(HOME, ZERO, out)
    assert (out > 0).all()
    law.position[:] = HOME
    law.acceleration(HOME, ZERO + 0.1, out)
    assert (out < 0).all()


def test_torque_without_gravity_changes_by_at_most_the_published_rate():
    guard, rng = TorqueGuard(), np.random.default_rng(0)
    previous = guard.previous.copy()
    for _ in range(300):
        guarded(guard, rng.uniform(-200, 200, fr3.DOF), HOME, ZERO)
        step = np.abs(guard.previous - previous)
        assert (step <= np.array(fr3.TORQUE_RATE_MAX_NM_S) * PERIOD_S + 1e-12).all()
        previous = guard.previous.copy()


def test_the_sent_torque_stays_within_the_published_limits_whatever_is_asked():
    guard = TorqueGuard()
    for _ in range(300):
        sent = guarded(guard, ZERO + 1e6, HOME, ZERO + 70.0)
    assert np.array_equal(sent, np.array(fr3.TORQUE_MAX_NM))


def test_a_reachable_torque_passes_unchanged_and_gravity_is_added_at_once():
    guard, bias = TorqueGuard(), np.linspace(-9, 9, fr3.DOF)
    asked = np.full(fr3.DOF, 0.5)
    assert np.allclose(guarded(guard, asked, HOME, bias), asked + bias)


@pytest.mark.parametrize("side", [fr3.POSITION_MIN_RAD, fr3.POSITION_MAX_RAD])
def test_a_joint_at_its_limit_is_pushed_back_to_the_middle(side):
    guard, position = TorqueGuard(), np.array(side)
    for _ in range(100):
        sent = guarded(guard, ZERO, position, ZERO)
    middle = 0.5 * (np.array(fr3.POSITION_MIN_RAD) + np.array(fr3.POSITION_MAX_RAD))
    assert (np.sign(sent) == np.sign(middle - position)).all()


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
