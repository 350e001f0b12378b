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


def blend(policy: Target, human: Target, factor: float | F64) -> Target:
    """Mix two targets: factor 0 is the policy's, 1 the human's; one or one an axis [A]."""
    if isinstance(factor, float) and factor <= 0.0:
        return policy
    if isinstance(factor, float) and factor >= 1.0:
        return human
    position = (1.0 - factor) * policy.position + factor * human.position
    return Target(position, (1.0 - factor) * policy.velocity + factor * human.velocity)


def approach(
    in_force: Target, wanted: Target, config: ArbiterConfig, units: tuple[str, ...], at_ns: int
) -> tuple[Fade, ...]:
    """Return fades from the command in force to what is wanted, at bounded speeds.

    One for each unit among `units` [A], so that the long way of one does not slow another down;
    without units all axes are of one.
    """
    whole = fade_between(in_force, wanted, at_ns, config.blend_ns)
    kinds = tuple(dict.fromkeys(units)) or ("rad",)
    fades = []
    for unit in kinds:
        own = np.array([u == unit for u in units]) if len(kinds) > 1 else None
        offset = whole.offset if own is None else np.where(own, whole.offset, 0.0)
        rate = whole.rate if own is None else np.where(own, whole.rate, 0.0)
        duration_ns = max(config.blend_ns, approach_ns(offset, config.approach_speed(unit)))
        fades.append(Fade(offset, rate, at_ns, duration_ns))
    return tuple(fades)


def approach_ns(offset: F64, speed: float) -> int:
    """How long a fade of an offset [A] takes that stays below `speed`, of the same unit."""
    distance = float(np.abs(offset).max())
    return int(1.5 * distance / speed * NS)  # a cubic peaks at 1.5 times its mean speed


class HumanTarget:
    """The human's last target and its speed, estimated from the last two messages."""

    def __init__(self, engaged: bool = False, stamp_ns: int = LONG_AGO) -> None:
        self.engaged = engaged
        self.stamp_ns = stamp_ns
        self.fades: tuple[Fade, ...] = ()
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

    @property
    def position(self) -> F64 | None:
        """The last target [A]; None before the first."""
        return self._position

    def at(self, now_ns: int) -> Target | None:
        """Return the target, moved on for at most one message interval; None before the first."""
        if self._position is None or self._velocity is None:
            return None
        age_ns = now_ns - self.stamp_ns
        moving = age_ns <= self._interval_ns
        velocity = self._velocity if moving else np.zeros_like(self._velocity)
        ahead_ns = min(age_ns, self._interval_ns) if self._velocity.any() else 0
        target = Target(self._position + self._velocity * (ahead_ns / NS), velocity)
        for fade in self.fades:
            target = fade.add_to(target, now_ns)
        return target
