"""Heun's method (1900), the explicit trapezoid: order 2, two evaluations a step."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.solvers.solver import check_steps
from arfm_ros.core.values.data import F32


class Heun:
    """Integrate dx/dt = v(x, t) from t = 0 to t = 1 with the mean of both ends' velocities.

    `evaluations` counts what the network computes; of an odd number the first is a step of Euler.
    """

    def __init__(self, evaluations: int) -> None:
        self._dt = np.float32(1.0 / check_steps(evaluations))
        self._single = evaluations % 2  # steps before the first pair
        ends = [i + (i >= self._single and (i - self._single) % 2) for i in range(evaluations)]
        self.times = tuple(float(np.float32(end) * self._dt) for end in ends)
        self.strides = -(-evaluations // 2)
        self._start = self._slope = np.zeros(0, np.float32)  # x and v where the step began

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Go to the end of a step by Euler, then again by the mean; to t = 1 with `finish`."""
        left = np.float32(1.0) - np.float32(self.times[i])
        if i >= self._single and (i - self._single) % 2 == 1:
            end = self._start + self._dt * (self._slope + output)
            return np.asarray(end + left * output if finish else end, dtype=np.float32)
        self._start, self._slope = x, output
        size = self._dt * np.float32(1 if i < self._single else 2)
        return np.asarray(x + (left if finish else size) * output, dtype=np.float32)
