"""X-VLA's sampler (Zheng et al. 2025): each prediction of the actions meets the first noise again.

x_{t'} = (1 - t') noise + t' actions(x_t), with the actions that a velocity leads to,
x_t + (1 - t) v. It is no solver of the flow's equation: x keeps nothing of earlier predictions.
"""

from __future__ import annotations

import numpy as np

from arfm_ros.core.solvers.flow import Euler
from arfm_ros.core.values.data import F32


class Renoise(Euler):
    """Go from t = 0 to t = 1 in equal steps, each from the `noise` [H, A] that the chunk had."""

    def __init__(self, steps: int, noise: F32) -> None:
        super().__init__(steps)
        self._noise = np.asarray(noise, dtype=np.float32)

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Mix the noise and the actions that the velocity `output` leads to."""
        one = np.float32(1.0)
        actions = x + (one - np.float32(self.times[i])) * output
        last = finish or i + 1 == len(self.times)
        after = one if last else np.float32(self.times[i + 1])
        return np.asarray((one - after) * self._noise + after * actions, dtype=np.float32)
