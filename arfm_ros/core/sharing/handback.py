"""Giving an arm back: the policy's weight grows from 0 over a bounded time, without a reversal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arfm_ros.core.chunks.player import NS, Fade
from arfm_ros.core.safety.braking import RESERVE
from arfm_ros.core.safety.limits import F64, Target


@dataclass(frozen=True, slots=True, eq=False)
class Coast:
    """A path [A] from a command in motion to where it comes to rest by itself."""

    rest: F64
    fade: Fade

    @staticmethod
    def of(in_force: Target, at_ns: int, acceleration: F64) -> Coast:
        """Brake every axis [A] in the same time, as slowly as the least able of them has to."""
        speed = in_force.velocity
        duration_s = max(float((np.abs(speed) / (RESERVE * acceleration)).max()), 1e-3)
        way = 0.5 * duration_s * speed
        fade = Fade(-way, speed, at_ns, round(duration_s * NS))
        return Coast(in_force.position + way, fade)

    def at(self, now_ns: int) -> Target:
        """Return where it is."""
        return self.fade.add_to(Target(self.rest, np.zeros_like(self.rest)), now_ns)


@dataclass(frozen=True, slots=True, eq=False)
class HandBack:
    """Mix the policy in: its weight is 0 at `begin_ns` and 1 after `duration_ns`."""

    anchor: Coast
    begin_ns: int
    duration_ns: int

    def weight(self, now_ns: int) -> float:
        """Return what is left of the weight of what was before."""
        return self._weights(now_ns)[0]

    def over(self, now_ns: int) -> bool:
        """Tell whether the policy has all of it."""
        return now_ns >= self.begin_ns + self.duration_ns

    def mix(self, policy: Target, now_ns: int) -> Target:
        """Return the target between where the command came to rest and the policy's."""
        if self.over(now_ns):
            return policy
        weight, rate = self._weights(now_ns)
        rest = self.anchor.at(now_ns)
        away = policy.position - rest.position
        position = rest.position + (1.0 - weight) * away
        velocity = weight * rest.velocity + (1.0 - weight) * policy.velocity - rate * away
        low = None if policy.low is None else np.minimum(policy.low, position)
        high = None if policy.high is None else np.maximum(policy.high, position)
        return Target(position, velocity, low, high)

    def _weights(self, now_ns: int) -> tuple[float, float]:
        s = min(max((now_ns - self.begin_ns) / self.duration_ns, 0.0), 1.0)
        rate = -6.0 * s * (1.0 - s) / (self.duration_ns / NS)
        return 1.0 - s * s * (3.0 - 2.0 * s), rate
