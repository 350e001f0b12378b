"""Joint and Cartesian impedance laws of a torque-controlled arm, for one call every millisecond.

Pure numpy. Gravity and Coriolis torques are added by whoever knows the dynamics. Arrays are
allocated once: at 1 kHz in Python an allocation costs as much as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from arfm_ros.control import fr3

F64 = NDArray[np.float64]
PERIOD_S = 0.001


@dataclass(frozen=True, slots=True)
class ImpedanceGains:
    """Stiffness and damping; the joint law's are per unit of inertia, critically damped."""

    joint_stiffness_per_s2: float = 1300.0
    joint_damping_per_s: float = 68.0
    # A far target without a velocity is approached at this speed: the spring is cut off where the
    # damper balances it. An uncut spring and the torque-rate limit together make the arm ring.
    approach_speed_rad_s: tuple[float, ...] = (1.3, 1.3, 1.3, 1.3, 2.5, 2.5, 2.5)
    cartesian_stiffness: tuple[float, ...] = (1500.0, 1500.0, 1500.0, 60.0, 60.0, 60.0)
    cartesian_damping_ratio: float = 1.0
    nullspace_stiffness: float = 20.0
    nullspace_damping: float = 6.0


@dataclass(frozen=True, slots=True)
class SafetyGains:
    """Limits that hold whatever the control law asks for."""

    repulsion_margin_rad: float = 0.08
    repulsion_stiffness: tuple[float, ...] = (400.0, 400.0, 400.0, 400.0, 60.0, 60.0, 60.0)
    feedback_max_nm: tuple[float, ...] = (25.0, 25.0, 25.0, 25.0, 8.0, 8.0, 6.0)
    torque_max_nm: tuple[float, ...] = fr3.TORQUE_MAX_NM
    torque_rate_max_nm_s: tuple[float, ...] = fr3.TORQUE_RATE_MAX_NM_S


class JointImpedance:
    """Pull the joints to a target with a spring and a damper, shaped by the arm's inertia.

    Constant joint gains leave one mode of the arm (joints 1 and 3 against each other) with so
    little inertia that its damper and the torque-rate limit keep it swinging once it is thrown.
    """

    def __init__(self, gains: ImpedanceGains = ImpedanceGains()) -> None:
        self._stiffness, self._damping = gains.joint_stiffness_per_s2, gains.joint_damping_per_s
        self._spring_max = np.array(gains.approach_speed_rad_s) * self._damping
        self._spring_min = -self._spring_max
        self.position = np.zeros(fr3.DOF)  # rad
        self.velocity = np.zeros(fr3.DOF)  # rad/s
        self._damper = np.zeros(fr3.DOF)

    def acceleration(self, position: F64, velocity: F64, out: F64) -> None:
        """Write k (q_d - q), cut off, + d (dq_d - dq) [7] rad/s^2 into `out`.

        Times the arm's inertia matrix it is the torque to ask for.
        """
        np.subtract(self.position, position, out)
        np.multiply(out, self._stiffness, out)
        np.minimum(out, self._spring_max, out=out)
        np.maximum(out, self._spring_min, out=out)
        np.subtract(self.velocity, velocity, self._damper)
        np.multiply(self._damper, self._damping, self._damper)
        np.add(out, self._damper, out)


class CartesianImpedance:
    """Pull the tool to a pose with a spring and a damper; posture in the null space.

    Damping of a decoupled task: D = 2 ratio sqrt(K m) with an apparent tool mass of `MASS_KG` and
    inertia of `INERTIA_KG_M2`, the order of the FR3's own around HOME.
    """

    MASS_KG = 3.0
    INERTIA_KG_M2 = 0.12
    DAMPED_PINV = 1e-4

    def __init__(self, gains: ImpedanceGains = ImpedanceGains()) -> None:
        self._gains = gains
        self.position = np.zeros(3)
        self.rotation = np.eye(3)
        self.posture = np.array(fr3.HOME)  # joint positions the null space prefers
        self.wrench = np.zeros(6)  # N, Nm in the base frame, added to the spring's
        self._mass = np.array([self.MASS_KG] * 3 + [self.INERTIA_KG_M2] * 3)
        self._regular = self.DAMPED_PINV * np.eye(6)
        self._error, self._wrench, self._twist = np.zeros(6), np.zeros(6), np.zeros(6)
        self._posture_torque = np.zeros(fr3.DOF)
        self.set_stiffness(gains.cartesian_stiffness)

    def set_stiffness(self, stiffness: Sequence[float] | F64) -> None:
        """Set the diagonal stiffness [6] (N/m, Nm/rad) and the damping that goes with it."""
        self.stiffness = np.array(stiffness, dtype=np.float64)
        ratio = self._gains.cartesian_damping_ratio
        self._damping = 2.0 * ratio * np.sqrt(self.stiffness * self._mass)

    def torque(
        self, state: tuple[F64, F64], pose: tuple[F64, F64], jacobian: F64, out: F64
    ) -> None:
        """Write J^T (K e - D v) + null-space posture torque [7] Nm into `out`.

        `state` joint position and velocity [7]; `pose` tool position [3], rotation [3, 3] in the
        base; `jacobian` [6, 7] of the tool, linear rows first.
        """
        position, velocity = state
        np.subtract(self.position, pose[0], self._error[:3])
        self._error[3:] = rotation_vector(self.rotation @ pose[1].T)
        np.dot(jacobian, velocity, self._twist)
        np.multiply(self._error, self.stiffness, self._wrench)
        self._twist *= self._damping
        self._wrench -= self._twist
        self._wrench += self.wrench
        np.subtract(self.posture, position, self._posture_torque)
        self._posture_torque *= self._gains.nullspace_stiffness
        self._posture_torque -= self._gains.nullspace_damping * velocity
        # (I - J^T (J J^T)^-1 J) tau, so that the posture does not push the tool.
        gram = jacobian @ jacobian.T
        gram += self._regular
        self._wrench -= np.linalg.solve(gram, jacobian @ self._posture_torque)
        np.dot(jacobian.T, self._wrench, out)
        out += self._posture_torque


class TorqueGuard:
    """Feedback limit, joint-limit repulsion, torque-rate limit and torque limit, in this order.

    The feedback limit keeps spring and damper small enough that the rate limit can turn them
    around in time: with the full torque an arm once thrown swings for ever.

    The rate limit is on the torque without gravity, as `franka::limitRate` in libfranka does it
    (kMaxTorqueRate = 1000 Nm/s); the torque limit is on the sum.
    """

    def __init__(self, gains: SafetyGains = SafetyGains()) -> None:
        self._step = np.array(gains.torque_rate_max_nm_s) * PERIOD_S
        self._feedback_max = np.array(gains.feedback_max_nm)
        self._feedback_min = -self._feedback_max
        self._torque_max = np.array(gains.torque_max_nm)
        self._torque_min = -self._torque_max
        self._low = np.array(fr3.POSITION_MIN_RAD) + gains.repulsion_margin_rad
        self._high = np.array(fr3.POSITION_MAX_RAD) - gains.repulsion_margin_rad
        self._repulsion = np.array(gains.repulsion_stiffness)
        self.previous = np.zeros(fr3.DOF)  # Nm, without gravity
        self._a, self._b = np.zeros(fr3.DOF), np.zeros(fr3.DOF)

    def limit(self, torque: F64, position: F64, bias: F64, out: F64) -> None:
        """Write the torque [7] that may be sent into `out`.

        `torque` what the control law asks for; `position` of the joints; `bias` gravity and
        Coriolis torque.
        """
        np.maximum(position, self._low, out=self._a)  # np.clip takes several times as long
        np.minimum(self._a, self._high, out=self._a)
        np.subtract(self._a, position, self._a)
        np.multiply(self._a, self._repulsion, self._a)
        np.minimum(torque, self._feedback_max, out=self._b)
        np.maximum(self._b, self._feedback_min, out=self._b)
        np.add(self._b, self._a, self._a)
        np.add(self.previous, self._step, self._b)
        np.minimum(self._a, self._b, out=self._a)
        np.subtract(self.previous, self._step, self._b)
        np.maximum(self._a, self._b, out=self.previous)
        np.add(self.previous, bias, out)
        np.minimum(out, self._torque_max, out=out)
        np.maximum(out, self._torque_min, out=out)


def rotation_vector(rotation: F64) -> tuple[float, float, float]:
    """Return axis times angle (rad) of a rotation matrix [3, 3]."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    x, y, z = zy - yz, xz - zx, yx - xy  # 2 sin(angle) axis
    sine, cosine = 0.5 * sqrt(x * x + y * y + z * z), 0.5 * (xx + yy + zz - 1.0)
    if sine > 1e-6:
        scale = 0.5 * atan2(sine, cosine) / sine
        return x * scale, y * scale, z * scale
    if cosine > 0.0:
        return 0.5 * x, 0.5 * y, 0.5 * z
    # Half a turn: the axis is the longest column of (R + I) / 2.
    columns = 0.5 * (rotation + np.eye(3))
    axis = columns[:, int(np.argmax(np.diag(columns)))]
    axis = axis * (pi / float(np.linalg.norm(axis)))
    return float(axis[0]), float(axis[1]), float(axis[2])


def rotation_from_quaternion(quaternion_xyzw: Sequence[float] | F64) -> F64:
    """Return the rotation matrix [3, 3] of a quaternion x, y, z, w of any length but zero."""
    x, y, z, w = (float(v) for v in quaternion_xyzw)
    s = 2.0 / (x * x + y * y + z * z + w * w)
    return np.array([
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ])
