"""The human's side of the arbitration: the last teleoperation target and how it is mixed in."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.chunks.player import LONG_AGO, NS, Fade, fade_between
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import F64, Target, check_vector
from arfm_ros.core.safety.space import cut


def admit_human(target: F64, config: ArbiterConfig, limiter: Limiter | None) -> F64:
    """Return a target [A] within the limits; raise `SafetyError` for one that may not be."""
    limits = config.limits
    position = np.clip(check_vector(target, limits, "teleop target"), limits.low, limits.high)
    if limiter is not None:
        kept, outside = cut(config.space, position[None], limiter.position)
        if not len(kept):
            raise SafetyError(f"teleop target: {outside}")
    return np.asarray(position)


def blend(policy: Target, human: Target, factor: float) -> Target:
    """Mix two targets: factor 0 is the policy's, 1 the human's."""
    if factor <= 0.0:
        return policy
    if factor >= 1.0:
        return human
    position = (1.0 - factor) * policy.position + factor * human.position
    return Target(position, (1.0 - factor) * policy.velocity + factor * human.velocity)


def approach(in_force: Target, human: Target, config: ArbiterConfig, at_ns: int) -> Fade:
    """Return the fade from the command in force to the human's target, at a bounded speed."""
    duration_ns = approach_ns(in_force, human, config.human_approach_rad_s)
    return fade_between(in_force, human, at_ns, max(config.blend_ns, duration_ns))


def approach_ns(in_force: Target, human: Target, speed_rad_s: float) -> int:
    """How long a fade from one to the other takes that stays below `speed_rad_s`."""
    distance = float(np.abs(in_force.position - human.position).max())
    return int(1.5 * distance / speed_rad_s * NS)  # a cubic peaks at 1.5 times its mean speed


class HumanTarget:
    """The human's last target and its speed, estimated from the last two messages."""

    def __init__(self, engaged: bool = False, stamp_ns: int = LONG_AGO) -> None:
        self.engaged = engaged
        self.stamp_ns = stamp_ns
        self.fade: Fade | None = None
        self._position: F64 | None = None
        self._velocity: F64 | None = None
        self._interval_ns = 0

    def move(self, position: F64, now_ns: int, age_max_ns: int) -> None:
        """Take a new target [A]."""
        self._interval_ns = now_ns - self.stamp_ns
        self._velocity = np.zeros_like(position)
        if self._position is not None and 0 < self._interval_ns <= age_max_ns:
            self._velocity = (position - self._position) / (self._interval_ns / NS)
        self._position, self.stamp_ns = position, now_ns

    def at(self, now_ns: int) -> Target | None:
        """Return the target, moved on for at most one message interval; None before the first."""
        if self._position is None or self._velocity is None:
            return None
        age_ns = now_ns - self.stamp_ns
        moving = age_ns <= self._interval_ns
        velocity = self._velocity if moving else np.zeros_like(self._velocity)
        ahead_ns = min(age_ns, self._interval_ns) if self._velocity.any() else 0
        target = Target(self._position + self._velocity * (ahead_ns / NS), velocity)
        return target if self.fade is None else self.fade.add_to(target, now_ns)
