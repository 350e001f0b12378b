"""A tool's twist or pose as joint positions: damped least squares, slower near what it cannot do.

Nothing is solved to the end: each step moves the joints by at most what their speeds allow, so a
wild input is a slow motion and never a jump. `Chiaverini, Singularity-robust task-priority
redundancy resolution (1997)` for the damping that begins at a singular value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from arfm_ros.core.errors import SafetyError
from arfm_ros.robots.poses import Pose, rotation_vectors
from arfm_ros.robots.robot import RobotAxis
from arfm_ros.teleop.device import F64, FRAMES, NS, TOOL

STEP_MAX_NS = NS // 20  # a later step moves no farther than one of this length


class ArmKinematics(Protocol):
    """What is needed of an arm: `robots/kinematics` has it."""

    @property
    def axes(self) -> tuple[RobotAxis, ...]:
        """The axes, in the order of q."""

    def forward(self, q: ArrayLike) -> Pose:
        """Return the tool's pose in the base at q [A]."""

    def jacobian(self, q: ArrayLike) -> F64:
        """Return the geometric Jacobian [6, A], base axes."""


@dataclass(frozen=True, slots=True)
class CartesianConfig:
    """How fast, how near and how far ahead."""

    move_m_s: float = 0.25
    turn_rad_s: float = 1.0
    pull_1_s: float = 8.0  # speed per distance towards a pose
    damping: float = 0.08  # at a singular posture
    singular: tuple[float, float] = (0.02, 0.08)  # smallest singular value: stop, slow down
    limit_rad: float = 0.15  # from so far on it slows down towards a joint limit
    joint_speed: float = 0.5  # part of each axis' velocity limit
    ahead_rad: float = 0.12  # the target is at most so far from the measured arm


class CartesianDrive:
    """The joint target of one arm; `note` says what holds it back, '' where nothing does."""

    def __init__(self, kinematics: ArmKinematics, config: CartesianConfig) -> None:
        self._kinematics, self._config = kinematics, config
        axes = kinematics.axes
        self._low = np.array([axis.low + axis.margin for axis in axes])
        self._high = np.array([axis.high - axis.margin for axis in axes])
        self._speed = config.joint_speed * np.array([axis.velocity for axis in axes])
        self._names = tuple(axis.name for axis in axes)
        self._q: F64 = np.zeros(len(axes))
        self._at_ns = 0
        self._anchor: F64 = np.eye(4)
        self.note = ""

    def begin(self, q: F64, now_ns: int) -> None:
        """Start at the command in force [A]; a pose is displaced from the tool's place there."""
        self._q, self._at_ns = np.asarray(q, float).copy(), now_ns
        self._anchor = self._kinematics.forward(self._q).matrix.copy()

    def anchor(self) -> None:
        """Displace poses from where the tool is now."""
        self._anchor = self._kinematics.forward(self._q).matrix.copy()

    def twist(self, twist: F64, frame: str, measured: F64, now_ns: int) -> F64:
        """Return the joint target [A] after following a twist [6] until now.

        Raises `SafetyError` for one that is not finite or in a frame that nobody knows.
        """
        self._check(twist, frame)
        if frame == TOOL:
            rotation = self._kinematics.forward(self._q).rotation
            twist = np.concatenate([rotation @ twist[:3], rotation @ twist[3:]])
        return self._follow(twist, measured, now_ns)

    def pose(self, displaced: F64, frame: str, measured: F64, now_ns: int) -> F64:
        """Return the joint target [A] on the way to the anchor, displaced by [4, 4]."""
        self._check(displaced, frame)
        goal = self._anchor @ displaced
        if frame != TOOL:
            goal = displaced @ self._anchor
            goal[:3, 3] = self._anchor[:3, 3] + displaced[:3, 3]
        at = self._kinematics.forward(self._q).matrix
        turn = rotation_vectors(goal[:3, :3] @ at[:3, :3].T)
        error = np.concatenate([goal[:3, 3] - at[:3, 3], turn])
        return self._follow(self._config.pull_1_s * error, measured, now_ns)

    def _follow(self, twist: F64, measured: F64, now_ns: int) -> F64:
        dt_s = float(np.clip(now_ns - self._at_ns, 0, STEP_MAX_NS)) / NS
        self._at_ns, self.note = now_ns, ""
        wanted = self._bounded(twist)
        velocity = self._joints(wanted, np.ones(len(self._q)))
        shares = self._shares(velocity)
        if shares.min() < 1.0:
            self.note = f"near the limit of {self._names[int(np.argmin(shares))]}"
            velocity = self._joints(wanted, shares)
            velocity *= np.minimum(1.0, self._shares(velocity))
        step = velocity * dt_s
        step = step * self._singular(step)
        self._q = np.clip(self._q + step * self._near(step, measured), *self._ends())
        return self._q.copy()

    def _bounded(self, twist: F64) -> F64:
        """Scale both parts together, so that the direction stays."""
        size = max(
            float(np.linalg.norm(twist[:3])) / self._config.move_m_s,
            float(np.linalg.norm(twist[3:])) / self._config.turn_rad_s,
        )
        return twist / max(1.0, size)

    def _joints(self, twist: F64, shares: F64) -> F64:
        """Return joint velocities [A] for a twist, damped where a direction is being lost.

        `shares` [A] is how much each joint takes part: one near its limit leaves it to the others.
        """
        jacobian = self._kinematics.jacobian(self._q) * shares
        u, values, vt = np.linalg.svd(jacobian, full_matrices=False)
        lost = np.clip(1.0 - values / self._config.singular[1], 0.0, 1.0)
        damped = values / (values**2 + (self._config.damping * lost) ** 2 + 1e-12)
        velocity = shares * (vt.T @ (damped * (u.T @ twist)))
        return np.asarray(velocity / max(1.0, float((np.abs(velocity) / self._speed).max())))

    def _singular(self, step: F64) -> float:
        """Slow down towards a singular posture; the way out of it is free."""
        stop, slow = self._config.singular
        here, there = (self._smallest(q) for q in (self._q, self._q + step))
        if there >= here or there >= slow:
            return 1.0
        self.note = "near a singular posture: move another way"
        return float(np.clip((there - stop) / (slow - stop), 0.0, 1.0))

    def _smallest(self, q: F64) -> float:
        return float(np.linalg.svd(self._kinematics.jacobian(q), compute_uv=False)[-1])

    def _shares(self, velocity: F64) -> F64:
        """Return how freely [A] each joint may move: 0 at the limit that it moves towards."""
        room = np.where(velocity > 0, self._high - self._q, self._q - self._low)
        return np.clip(room / self._config.limit_rad, 0.0, 1.0)

    def _ends(self) -> tuple[F64, F64]:
        """Return the limits; an arm that is beyond one may stay there."""
        return np.minimum(self._low, self._q), np.maximum(self._high, self._q)

    def _near(self, step: F64, measured: F64) -> float:
        """Wait for an arm that does not keep up."""
        ahead = float(np.abs(self._q + step - measured).max())
        if ahead <= self._config.ahead_rad or ahead <= float(np.abs(self._q - measured).max()):
            return 1.0
        self.note = "waits for the arm: it does not keep up"
        return 0.0

    @staticmethod
    def _check(values: F64, frame: str) -> None:
        if frame not in FRAMES:
            raise SafetyError(f"frame '{frame[:60]}' is none of {', '.join(FRAMES)}")
        if not np.isfinite(values).all():
            raise SafetyError("the device's target is not finite")
