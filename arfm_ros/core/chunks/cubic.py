"""Cubics between two values, their coefficients computed once and evaluated at every tick."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.safety.limits import F64


def cubics(p0: F64, p1: F64, m0: F64, m1: F64) -> F64:
    """Return the coefficients [6, ...] of cubics from `p0` to `p1` over a length of 1.

    The slopes at the ends are `m0` and `m1` per length.
    """
    rise = p1 - p0
    a, b = m0 + m1 - 2 * rise, 3 * rise - 2 * m0 - m1
    return np.stack([p0, m0, a, b, 3 * a, 2 * b])


def along(cubic: F64, s: float | F64, length_s: float) -> tuple[F64, F64]:
    """Value and time derivative [A] at s in 0..1 of cubics [6, A] that take `length_s`."""
    p0, m0, a, b, a3, b2 = cubic
    return ((a * s + b) * s + m0) * s + p0, rate(cubic, s, length_s)


def rate(cubic: F64, s: float | F64, length_s: float) -> F64:
    """Time derivative [A] alone, see `along`."""
    _, m0, _, _, a3, b2 = cubic
    return np.asarray(((a3 * s + b2) * s + m0) / length_s)
