"""Denoising diffusion implicit models (Song, Meng, Ermon 2021) with eta = 0: no noise is added."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.data import F32


class Ddim:
    """Go down the levels of noise along the straight line to the clean actions (formula 12)."""

    def __init__(self, sampler: Sampler, steps: int) -> None:
        self._sampler, self._levels = sampler, sampler.levels(steps)
        self.times = tuple(float(level) for level in self._levels)
        self.strides = steps

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Return x at the next level of the schedule; the clean actions with `finish`."""
        sampler, level = self._sampler, self._levels[i]
        clean, noise = sampler.split(x, output, level)
        signal = sampler.signal(sampler.next_level(self._levels, i, finish))
        return np.asarray(
            np.sqrt(signal) * clean + np.sqrt(np.float32(1) - signal) * noise, dtype=np.float32
        )
