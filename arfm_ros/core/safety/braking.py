"""How fast an axis may be at the end of a tick, so that it can brake before an end of its way.

`distance` is enough to brake in from sqrt(h^2 + a (2 distance - v dt)) - h, where h is half of `a`
times the lengths of this tick and of the longest that may follow. A speed that is permitted where
the tick ends obeys the same law, with the offset of `Slowdown` in h and this tick alone.
"""

from __future__ import annotations

import numpy as np

from arfm_ros.core.safety.limits import F64, Limits, Slowdown

RESERVE = 0.9  # part of the deceleration that approaching a target or an end plans with
FAR = 1e6
SLOWER = 0.995  # of the permitted speed near an end: it is checked at ticks only
SIGNS = np.array([[-1.0], [1.0]])  # down and up: towards the low end all is seen negated


class Braking:
    """The law of permitted speeds of some limits, for ticks of which the longest is known.

    Rows are the same law for three ways: to given ends with ticks like this one, to the limits
    with the longest tick, and the speed that is permitted at a place (absent without such a law).
    """

    def __init__(self, limits: Limits, longest_s: float) -> None:
        self._longest_s = longest_s
        self._velocity = limits.velocity
        slow, a, zero = gentle(limits), limits.acceleration, np.zeros(limits.size)
        rows = [(limits.low, limits.high, a, zero)] * 2
        if slow is not None:
            rows.append((slow.low, slow.high, slow.deceleration, slow.offset))
        low, high, deceleration, offset = (np.stack(column) for column in zip(*rows))
        self._ends = np.stack([-low, high], axis=1)  # [R, 2, A], the first replaced by those given
        self._deceleration = deceleration[:, None]
        self._half = 0.5 * self._deceleration
        self._offset, self._offset_2 = offset[:, None], offset[:, None] ** 2

    def speeds(self, state: F64, velocity: F64, ends: F64, dt: float) -> F64:
        """Return the largest speeds [2, A] towards the low and the high end.

        `state`, `velocity` and `ends` [2, A] are seen in these two directions: the values of the
        first are negative. Braking keeps inside the `ends` if no tick is longer than this one,
        and inside the limits whatever ticks follow.
        """
        edges = self._ends.copy()
        edges[0] = ends
        ticks = np.array(((dt + dt,), (dt + self._longest_s,), (dt,)))[: len(edges), :, None]
        half = self._half * ticks + self._offset
        inside = self._deceleration * (2.0 * (edges - state) - velocity * dt)
        inside += half**2 - self._offset_2
        found = np.maximum(np.sqrt(np.maximum(inside, 0.0)) - half, 0.0)
        return np.asarray(np.minimum(np.minimum.reduce(found), self._velocity))

    def speeds_behind(self, state: F64, lead_s: float) -> F64:
        """Return the largest constant speeds [2, A] of a path that is `lead_s` ahead of `state`.

        With v in d - v lead for the distance d, the law above holds for h + a lead in place of h.
        """
        anywhere = np.full_like(state, np.inf)
        return self.speeds(state, np.zeros_like(state), anywhere, 2.0 * lead_s)


def gentle(limits: Limits) -> Slowdown | None:
    """The law of permitted speeds, a little slower and no steeper than an axis can brake."""
    if limits.slowdown is None:
        return None
    slow = limits.slowdown.scaled(SLOWER)
    deceleration = np.minimum(slow.deceleration, RESERVE * limits.acceleration)
    free = np.isinf(slow.deceleration)  # an axis without such a law: the ends lie far away
    low, high = np.where(free, -FAR, slow.low), np.where(free, FAR, slow.high)
    return Slowdown(low, high, slow.offset, deceleration)
