"""Intervals for success rates."""

from __future__ import annotations

from math import sqrt


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson 1927), 95 % by default.

    Without trials nothing is known: (0, 1).
    """
    if trials == 0:
        return (0.0, 1.0)
    rate, spread = successes / trials, z * z / trials
    centre = rate + spread / 2
    half = z * sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    low, high = (centre - half) / (1 + spread), (centre + half) / (1 + spread)
    return (max(0.0, low), min(1.0, high))
