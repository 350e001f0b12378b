"""The published laws of CRISP's impedance controllers, for one call every millisecond.

Pure numpy. Source: `crisp_controllers`, `src/cartesian_controller.cpp` (update, on_activate,
setStiffnessAndDamping) with `utils/joint_limits.hpp` and `utils/torque_rate_saturation.hpp`. The
joint impedance controller is the same law without a task, its null-space part not projected. What
it sends is clamped in this order: spring and damper together (`nullspace.max_tau`), joint-limit
and Coriolis torque added, then the change per cycle (`max_delta_tau`). Friction compensation is
left out on both sides: the simulated joints have none. Arrays are allocated once: at 1 kHz in
Python an allocation costs as much as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import (
    CARTESIAN,
    PUBLISHED,
    PUBLISHED_TORQUE,
    CartesianGains,
    JointGains,
    TorqueLimits,
)

F64 = NDArray[np.float64]


def clamp(values: F64, low: F64 | float, high: F64 | float, out: F64) -> None:
    """Write `values` within low..high into `out`; `np.clip` takes several times as long."""
    np.maximum(values, low, out=out)
    np.minimum(out, high, out=out)


class JointImpedance:
    """Pull the joints to a target: tau = K (q_ref - q) + D (dq_ref - dq), clamped to max_tau."""

    def __init__(self, gains: JointGains = PUBLISHED) -> None:
        self.gains = gains
        self._stiffness, self._damping = np.array(gains.stiffness), np.array(gains.damping)
        self.position = np.zeros(fr3.DOF)  # rad
        self.velocity = np.zeros(fr3.DOF)  # rad/s
        self._damper = np.zeros(fr3.DOF)

    def torque(self, position: F64, velocity: F64, out: F64) -> None:
        """Write the torque [7] Nm asked for at joint `position` and `velocity` [7] into `out`."""
        np.subtract(self.position, position, out)
        np.multiply(out, self._stiffness, out)
        np.subtract(self.velocity, velocity, self._damper)
        np.multiply(self._damper, self._damping, self._damper)
        np.add(out, self._damper, out)
        clamp(out, -self.gains.max_torque_nm, self.gains.max_torque_nm, out)


class CartesianImpedance:
    """Pull the tool to a pose with a spring and a damper; posture in the null space.

    Errors are in the tool's axes (`use_local_jacobian`) and clipped there. The target is smoothed
    by `pose_filter`; CRISP averages log6 of the poses, here position and rotation turn directly,
    which is the same but at half a turn, where a logarithm changes its sign.
    """

    def __init__(self, gains: CartesianGains = CARTESIAN) -> None:
        self._gains = gains
        self.position = np.zeros(3)
        self.rotation = np.eye(3)
        self.posture = np.array(fr3.HOME)  # joint positions the null space prefers
        self.posture_rate = np.zeros(fr3.DOF)
        self.wrench = np.zeros(6)  # N, Nm in the base frame, added to the spring's
        self._clip = np.array(gains.error_clip)
        self._nullspace_damping = 2.0 * sqrt(gains.nullspace_stiffness)
        self._regular = gains.regularization * np.eye(6)
        self._error, self._force, self._twist = np.zeros(6), np.zeros(6), np.zeros(6)
        self._local = np.zeros((6, fr3.DOF))
        self._posture_torque = np.zeros(fr3.DOF)
        self.set_stiffness(gains.stiffness)

    def set_stiffness(self, stiffness: Sequence[float] | F64) -> None:
        """Set the diagonal stiffness [6] (N/m, Nm/rad); the damping is 2 sqrt(stiffness)."""
        self.stiffness = np.array(stiffness, dtype=np.float64)
        self._damping = 2.0 * np.sqrt(self.stiffness)

    def torque(
        self, state: tuple[F64, F64], pose: tuple[F64, F64], jacobian: F64, out: F64
    ) -> None:
        """Write J^T (K e - D v) + null-space posture torque + J^T wrench [7] Nm into `out`.

        `state` joint position and velocity [7]; `pose` tool position [3], rotation [3, 3] in the
        base; `jacobian` [6, 7] of the tool in the base, linear rows first.
        """
        position, velocity = state
        turn = pose[1].T
        self._error[:3] = turn @ (self.position - pose[0])
        self._error[3:] = rotation_vector(turn @ self.rotation)
        clamp(self._error, -self._clip, self._clip, self._error)
        local = self._local
        local[:3], local[3:] = turn @ jacobian[:3], turn @ jacobian[3:]
        np.dot(local, velocity, self._twist)
        np.multiply(self._error, self.stiffness, self._force)
        self._twist *= self._damping
        self._force -= self._twist
        np.dot(local.T, self._force, out)
        out += self._posture(position, velocity, local)
        out += jacobian.T @ self.wrench

    def _posture(self, position: F64, velocity: F64, jacobian: F64) -> F64:
        """Torque [7] towards the posture that does not push the tool: (I - J^+ J) tau."""
        torque = self._posture_torque
        np.subtract(self.posture, position, torque)
        torque *= self._gains.nullspace_stiffness
        torque += self._nullspace_damping * (self.posture_rate - velocity)
        gram = jacobian @ jacobian.T
        gram += self._regular
        torque -= jacobian.T @ np.linalg.solve(gram, jacobian @ torque)
        clamp(torque, -self._gains.max_torque_nm, self._gains.max_torque_nm, torque)
        return torque


class TorqueSaturation:
    """Joint-limit torque, rate and size limits of what is sent to the motors.

    The rate limit is on the torque without gravity, which the robot itself adds; the size limit,
    the robot's own, is on the sum.
    """

    def __init__(self, limits: TorqueLimits = PUBLISHED_TORQUE) -> None:
        self._range, self._push = limits.joint_limit_range_rad, limits.joint_limit_max_nm
        self._step = limits.max_delta_nm
        self._size = np.array(limits.torque_max_nm)
        self._low, self._high = np.array(fr3.POSITION_MIN_RAD), np.array(fr3.POSITION_MAX_RAD)
        self.previous = np.zeros(fr3.DOF)  # Nm, without gravity
        self._a, self._b = np.zeros(fr3.DOF), np.zeros(fr3.DOF)

    def limit(self, torque: F64, position: F64, bias: F64, out: F64) -> None:
        """Write the torque [7] that is sent into `out`.

        `torque` what the control law asks for; `position` of the joints; `bias` gravity and
        Coriolis torque.
        """
        self._joint_limits(position)
        np.add(torque, self._a, self._a)
        np.subtract(self._a, self.previous, self._a)
        clamp(self._a, -self._step, self._step, self._a)
        np.add(self.previous, self._a, self.previous)
        np.add(self.previous, bias, out)
        clamp(out, -self._size, self._size, out)

    def _joint_limits(self, position: F64) -> None:
        """Write a torque into `_a` that grows over the last `_range` before a limit."""
        scale, a, b = self._push / self._range, self._a, self._b
        np.subtract(self._low + self._range, position, a)
        clamp(a, 0.0, self._range, a)
        np.subtract(position, self._high - self._range, b)
        clamp(b, 0.0, self._range, b)
        np.subtract(a, b, a)
        np.multiply(a, scale, a)


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
