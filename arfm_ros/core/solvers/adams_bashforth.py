"""Adams-Bashforth with two steps (Hairer, Norsett, Wanner 1993, III.1): order 2."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.solvers.solver import check_steps
from arfm_ros.core.values.data import F32


class AdamsBashforth:
    """Integrate dx/dt = v(x, t) from t = 0 to t = 1, each step also along the change of v."""

    def __init__(self, steps: int) -> None:
        self._dt = np.float32(1.0 / check_steps(steps))
        self.times = tuple(float(np.float32(i) * self._dt) for i in range(steps))
        self.strides = steps
        self._before: F32 | None = None  # v of the last step

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Go on by dt; to t = 1 with `finish`. The first step is Euler's."""
        size = np.float32(1.0) - np.float32(self.times[i]) if finish else self._dt
        before, self._before = self._before, output
        if before is None:
            return np.asarray(x + size * output, dtype=np.float32)
        # v in the middle of the step, by the line through the last two
        middle = output + size / (2 * self._dt) * (output - before)
        return np.asarray(x + size * middle, dtype=np.float32)
