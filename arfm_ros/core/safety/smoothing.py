"""A command stream without jerks: the mean of the stream over a short window.

A mean keeps every bound of what it is taken of: positions, velocities and accelerations stay
within those of the stream, speeds within a limit that is concave in the position too (Jensen).
The jerk is at most 2 a / window, for the acceleration is (v(t) - v(t - window)) / window.
"""

from __future__ import annotations

import copy
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.safety.limits import F64

KNOTS_MAX = 512  # of absurdly short ticks the oldest are forgotten: the window gets shorter
REBASE_S = 100.0  # times and integrals stay small numbers


class MovingMean:
    """Mean over the last `window_s` seconds of a path of constant accelerations between ticks."""

    def __init__(self, position: F64, window_s: float) -> None:
        self._window_s = window_s
        self.restart(position, np.zeros_like(position))

    def restart(self, position: F64, velocity: F64) -> None:
        """Forget the past: the path came to `position` at a constant `velocity`, now its mean."""
        ahead = self.ahead(position, velocity)
        self._base = ahead
        self._times = [-self._window_s, 0.0]
        begin = -self._window_s * velocity
        zero = np.zeros_like(position)
        area = 0.5 * self._window_s * begin
        self._knots = [(begin, velocity, zero), (zero, velocity, area)]

    def flatten(self, axes: NDArray[np.bool_], position: F64, velocity: F64) -> None:
        """Let `axes` [A] have come to the mean `position` at a constant `velocity`."""
        ahead = self.ahead(position, velocity) - self._base
        begin_s, end_s = self._times[0], self._times[-1]
        first = ahead + velocity * (begin_s - end_s)
        knots = []
        for time_s, (q, v, area) in zip(self._times, self._knots):
            s = time_s - begin_s
            line = (first + s * velocity, velocity, s * (first + 0.5 * s * velocity))
            q, v, area = (np.where(axes, new, old) for new, old in zip(line, (q, v, area)))
            knots.append((q, v, area))
        self._knots = knots

    def ahead(self, position: F64, velocity: F64) -> F64:
        """Where the path is [A] if its mean is at `position` [A] at a constant `velocity` [A]."""
        return position + self.lead_s * velocity

    @property
    def lead_s(self) -> float:
        """How far ahead of its mean a path of constant velocity is; seconds."""
        return 0.5 * self._window_s

    @property
    def end(self) -> F64:
        """Position [A] of the path itself, not of its mean."""
        return np.asarray(self._base + self._knots[-1][0])

    def push(self, dt_s: float, position: F64, velocity: F64) -> None:
        """Go on for `dt_s` to `position` [A] and `velocity` [A]."""
        q0, v0, area = self._knots[-1]
        q1 = position - self._base
        acceleration = (velocity - v0) / dt_s
        step = dt_s * (q0 + dt_s * (v0 / 2.0 + dt_s * acceleration / 6.0))
        self._times.append(self._times[-1] + dt_s)
        self._knots.append((q1, velocity, area + step))
        first = bisect_right(self._times, self._times[-1] - self._window_s) - 1
        first = max(first, len(self._times) - KNOTS_MAX, 0)
        del self._times[:first], self._knots[:first]
        if self._times[-1] > REBASE_S:
            self._rebase()

    def mean(self) -> tuple[F64, F64]:
        """Return position [A] and velocity [A] of the mean now."""
        end_s = self._times[-1]
        begin_s = max(end_s - self._window_s, self._times[0])
        q0, area0 = self._at(begin_s)
        q1, _, area1 = self._knots[-1]
        span_s = end_s - begin_s
        return self._base + (area1 - area0) / span_s, (q1 - q0) / span_s

    def copy(self) -> MovingMean:
        """Return one that goes on by itself; knots are never changed in place."""
        other = copy.copy(self)
        other._times, other._knots = self._times.copy(), self._knots.copy()
        return other

    def _at(self, time_s: float) -> tuple[F64, F64]:
        """Position over the base and its integral at a time within the knots."""
        k = bisect_right(self._times, time_s) - 1
        q0, v0, area = self._knots[k]
        s = time_s - self._times[k]
        if s <= 0.0 or k + 1 == len(self._times):
            return q0, area
        v1 = self._knots[k + 1][1]
        a = (v1 - v0) / (self._times[k + 1] - self._times[k])
        gained = s * a
        return q0 + s * (v0 + gained / 2.0), area + s * (q0 + s * (v0 / 2.0 + gained / 6.0))

    def _rebase(self) -> None:
        begin_s, area = self._times[-1], self._knots[-1][2]
        self._times = [t - begin_s for t in self._times]
        self._knots = [(q, v, s - area) for q, v, s in self._knots]
