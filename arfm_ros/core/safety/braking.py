"""How fast an axis may be at the end of a tick, so that it can brake before an end of its way."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.safety.limits import F64, Limits, Slowdown

RESERVE = 0.9  # part of the deceleration that approaching a target or an end plans with
FAR = 1e6
SLOWER = 0.995  # of the permitted speed near an end: it is checked at ticks only
SIGNS = np.array([[-1.0], [1.0]])  # down and up


def speeds(
    limits: Limits,
    slow: Slowdown | None,
    state: tuple[F64, F64],
    ends: tuple[F64, F64],
    times: tuple[float, float],
) -> F64:
    """Return the largest speeds [2, A] towards the low and the high end, from q and v [A].

    `times`: of this tick and of the longest one. Braking keeps inside the `ends` if no tick is
    longer than this one, and inside the limits whatever ticks follow.
    """
    (q, v), (low, high), (dt, longest) = state, ends, times
    ways = np.empty((2, 2, limits.size))  # to the ends and to the limits, down and up
    np.subtract(q, low, out=ways[0, 0])
    np.subtract(high, q, out=ways[0, 1])
    np.subtract(q, limits.low, out=ways[1, 0])
    np.subtract(limits.high, q, out=ways[1, 1])
    both, following = SIGNS * v, np.array([dt, longest])[:, None, None]
    found = _stoppable(ways, both, limits.acceleration, (dt, following)).min(axis=0)
    found = np.minimum(found, limits.velocity)
    if slow is not None:
        np.subtract(q, slow.low, out=ways[0, 0])
        np.subtract(slow.high, q, out=ways[0, 1])
        found = np.minimum(found, _permitted(slow, ways[0], both, dt))
    return np.asarray(found)


def gentle(limits: Limits) -> Slowdown | None:
    """The law of permitted speeds, a little slower and no steeper than an axis can brake."""
    if limits.slowdown is None:
        return None
    slow = limits.slowdown.scaled(SLOWER)
    deceleration = np.minimum(slow.deceleration, RESERVE * limits.acceleration)
    free = np.isinf(slow.deceleration)  # an axis without such a law: the ends lie far away
    low, high = np.where(free, -FAR, slow.low), np.where(free, FAR, slow.high)
    return Slowdown(low, high, slow.offset, deceleration)


def _stoppable(
    distance: F64, velocity: F64, acceleration: F64, ticks: tuple[float, float | F64]
) -> F64:
    """Largest speed [..., A] at the end of a tick from which `distance` [A] is enough to brake in.

    `ticks`: lengths of this one and of the longest one that may follow.
    """
    dt, following = ticks
    half = 0.5 * acceleration * (dt + following)
    inside = half**2 + acceleration * (2.0 * distance - velocity * dt)
    return np.asarray(np.maximum(np.sqrt(np.maximum(inside, 0.0)) - half, 0.0))


def _permitted(slow: Slowdown, distance: F64, velocity: F64, dt: float) -> F64:
    """Largest speed [A] at the end of a tick that is permitted where the tick ends."""
    half = slow.offset + 0.5 * slow.deceleration * dt
    inside = half**2 - slow.offset**2
    inside = inside + slow.deceleration * (2.0 * distance - velocity * dt)
    return np.asarray(np.maximum(np.sqrt(np.maximum(inside, 0.0)) - half, 0.0))
