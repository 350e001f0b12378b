"""The midpoint rule (Runge 1895): order 2, two evaluations a step."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.solvers.solver import check_steps
from arfm_ros.core.values.data import F32


class Midpoint:
    """Integrate dx/dt = v(x, t) from t = 0 to t = 1 with the velocity in the middle of each step.

    `evaluations` counts what the network computes; of an odd number the first is a step of Euler.
    """

    def __init__(self, evaluations: int) -> None:
        self._dt = np.float32(1.0 / check_steps(evaluations))
        self.times = tuple(float(np.float32(i) * self._dt) for i in range(evaluations))
        self.strides = -(-evaluations // 2)
        self._single = evaluations % 2  # steps before the first pair
        self._start = np.zeros(0, np.float32)  # x where the step in progress began

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Go to the middle of a step, then from its start to its end; to t = 1 with `finish`."""
        second = i >= self._single and (i - self._single) % 2 == 1
        begin, origin = (i - 1, self._start) if second else (i, x)
        if not second:
            self._start = x
        size = self._dt * np.float32(2 if second else 1)
        if finish:
            size = np.float32(1.0) - np.float32(self.times[begin])
        return np.asarray(origin + size * output, dtype=np.float32)
