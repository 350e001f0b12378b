"""Flow matching on the host: x, t and dt stay float32 whatever the engine does.

Time runs from 0 (noise) to 1 (action) and the velocity field is u = action - noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arfm_ros.core.solvers.solver import Field, Integration, check_steps, solve
from arfm_ros.core.values.data import F32

Velocity = Field  # (x [H, A], t) -> v [H, A]
Clock = Callable[[], int]  # -> ns


class Euler:
    """Integrate dx/dt = v(x, t) from t = 0 to t = 1 in equal steps."""

    def __init__(self, steps: int) -> None:
        self._dt = np.float32(1.0 / check_steps(steps))
        self.times = tuple(float(np.float32(i) * self._dt) for i in range(steps))
        self.sizes = (float(self._dt),) * steps  # as far as each step goes, in a row
        self.strides = steps

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Go on by dt along the velocity `output`; to t = 1 with `finish`."""
        size = np.float32(1.0) - np.float32(self.times[i]) if finish else self._dt
        return np.asarray(x + size * output, dtype=np.float32)


def integrate(
    velocity: Velocity,
    noise: F32,
    steps: int,
    *,
    out_of_time: Callable[[int], bool] | None = None,
    cancelled: Callable[[], bool] | None = None,
    keep_trace: bool = False,
) -> Integration:
    """Integrate `velocity` from `noise` [H, A] by Euler steps, see `solve` for the rest."""
    return solve(
        Euler(steps),
        velocity,
        noise,
        out_of_time=out_of_time,
        cancelled=cancelled,
        keep_trace=keep_trace,
    )
