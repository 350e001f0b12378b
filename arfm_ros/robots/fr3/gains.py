"""Gains and clamps of CRISP's controllers as its FR3 demo configures them.

Source: `crisp_controllers_demos`, `config/fr3/controllers.yaml`, and the defaults in
`crisp_controllers`, `src/cartesian_impedance_controller.yaml`. Units: rad, m, Nm, N, s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.fr3 import facts as fr3

F64 = NDArray[np.float64]
# How far an arm may come to rest from the last target when the sender dies at any speed
DISPLACEMENT_MAX_RAD: Final = 0.1
FIELD: Final = 0.7  # part of it that the velocity field alone may make

# Parts of the clamped torque that a planned stop and commanded accelerations may take
BRAKED: Final = 0.95
BRAKED_TOGETHER: Final = 0.53  # where joints turn at once: their torques also couple by speeds
FOLLOWED: Final = 0.65


@dataclass(frozen=True, slots=True)
class JointGains:
    """`joint_impedance_controller`: null-space stiffness 5 and damping 0.5, times the weights."""

    stiffness: tuple[float, ...] = (750.0, 750.0, 750.0, 750.0, 250.0, 150.0, 50.0)  # Nm/rad
    damping: tuple[float, ...] = (75.0, 75.0, 75.0, 75.0, 25.0, 15.0, 5.0)  # Nm s/rad
    max_torque_nm: float = 5.0  # nullspace.max_tau
    torque_max_nm: tuple[float, ...] = fr3.TORQUE_MAX_NM  # of the motors
    inertia_max: tuple[tuple[float, ...], ...] = fr3.INERTIA_MAX_KG_M2  # largest |M_ij|
    # [J], of the law of `field` and `lead`: asked at every tick
    _field_max: F64 = field(init=False, repr=False, compare=False)
    _late_s: F64 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        stiffness, damping = np.array(self.stiffness), np.array(self.damping)
        object.__setattr__(self, "_field_max", FIELD * DISPLACEMENT_MAX_RAD * stiffness / damping)
        object.__setattr__(self, "_late_s", damping / stiffness)

    def field(self, velocity: F64) -> F64:
        """Return the velocity [J] to send with a target that moves at `velocity` [J] rad/s.

        CRISP keeps the last target and velocity for ever, so an arm whose sender dies rests
        D v / K from the last target. What is not sent makes the arm trail a faster target by
        D (v - sent) / K, which `lead` makes up for.
        """
        most = self._field_max
        return np.asarray(np.minimum(np.maximum(velocity, -most), most))

    def lead(self, velocity: F64) -> F64:
        """Return by how many seconds [A] the arm trails a target at `velocity` [A]; grippers 0.

        At a steady speed K (q_ref - q) = D (dq - sent): the arm is D (1 - sent / v) / K behind.
        """
        joints = len(self.stiffness)
        speed = np.abs(velocity[:joints])
        part = 1.0 - np.minimum(speed, self._field_max) / np.maximum(speed, 1e-6)
        late = np.zeros(velocity.size)
        late[:joints] = self._late_s * part
        return late

    def run_on(self, velocity: F64, seconds: float) -> F64:
        """Return how far [A] the arm went on in a pause of what was sent at `velocity` [A].

        It goes to D sent / K past the last target, with D / K as its time constant; grippers stay.
        """
        joints = len(self.stiffness)
        way = np.zeros(velocity.size)
        late_s = self._late_s
        way[:joints] = late_s * self.field(velocity[:joints]) * -np.expm1(-seconds / late_s)
        return way

    def speed_max(self) -> F64:
        """Return the joint speed [J] rad/s that the clamped torque can brake within 0.1 rad.

        sqrt(2 d tau / m), with the largest inertia m of the joint over all postures.
        """
        return np.asarray(np.sqrt(2.0 * DISPLACEMENT_MAX_RAD * BRAKED * self._braking()))

    def together(self) -> F64:
        """Return W [7, 7] of joint speeds v that are braked at once within 0.1 rad: W v^2 <= 1.

        Then sum_j |M_ij| v_j^2 / (2 d) is no more than joint i's torque.
        """
        torque = np.minimum(self.max_torque_nm, np.array(self.torque_max_nm))
        allowed = 2.0 * DISPLACEMENT_MAX_RAD * BRAKED_TOGETHER * torque
        return np.asarray(np.array(self.inertia_max) / allowed[:, None])

    def acceleration_max(self) -> F64:
        """Return the joint acceleration [J] rad/s^2 that the arm can follow in every posture.

        Beyond it the arm trails its command, and runs past it later.
        """
        return np.asarray(FOLLOWED * self._braking())

    def _braking(self) -> F64:
        """Deceleration [J] that the clamped torque makes of the largest inertia."""
        torque = np.minimum(self.max_torque_nm, self.torque_max_nm)
        return np.asarray(torque / np.diag(self.inertia_max))


PUBLISHED: Final = JointGains()
# For work at full speed (config/crisp_fr3.yaml; the simulated controller has it): `stiffness` 8,
# `max_tau` 40, `max_delta_tau` 1. With the published 5 Nm a stretched arm cannot brake from more
# than 0.5 rad/s; with the published 0.5 Nm a cycle an arm that was thrown swings for seconds.
TUNED: Final = JointGains(
    stiffness=(1200.0, 1200.0, 1200.0, 1200.0, 400.0, 240.0, 80.0), max_torque_nm=40.0
)


@dataclass(frozen=True, slots=True)
class CartesianGains:
    """`cartesian_impedance_controller`; a damping is twice the root of its stiffness."""

    stiffness: tuple[float, ...] = (400.0, 400.0, 400.0, 30.0, 30.0, 30.0)
    error_clip: tuple[float, ...] = (0.1, 0.1, 0.1, 0.5, 0.5, 0.5)
    nullspace_stiffness: float = 2.0
    max_torque_nm: float = 5.0
    regularization: float = 1e-6


@dataclass(frozen=True, slots=True)
class TorqueLimits:
    """Clamps of both controllers on what reaches the motors."""

    joint_limit_range_rad: float = 0.3
    joint_limit_max_nm: float = 5.0
    max_delta_nm: float = 0.5  # per control cycle of 1 ms
    torque_max_nm: tuple[float, ...] = fr3.TORQUE_MAX_NM


CARTESIAN: Final = CartesianGains()
PUBLISHED_TORQUE: Final = TorqueLimits()
TUNED_TORQUE: Final = TorqueLimits(max_delta_nm=1.0)  # libfranka's own limit: 1000 Nm/s
