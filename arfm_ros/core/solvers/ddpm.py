"""Denoising diffusion probabilistic models (Ho, Jain, Abbeel 2020), ancestral sampling."""

from __future__ import annotations

import numpy as np

from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.values.data import F32

LEAST_VARIANCE = np.float32(1e-20)


class Ddpm:
    """Go down the levels of noise by drawing from each posterior (formulas 6 and 7).

    What is added is drawn from a generator that the chunk's own `noise` seeds: the same noise
    gives the same chunk, everywhere and whatever was computed before.
    """

    def __init__(self, sampler: Sampler, steps: int, noise: F32) -> None:
        self._sampler, self._levels = sampler, sampler.levels(steps)
        self._draw = added_noise(noise)
        self.times = tuple(float(level) for level in self._levels)
        self.strides = steps

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Return x at the next level of the schedule; the clean actions with `finish`."""
        sampler, level, one = self._sampler, self._levels[i], np.float32(1)
        clean, _ = sampler.split(x, output, level)
        after = sampler.next_level(self._levels, i, finish)
        here, there = sampler.signal(level), sampler.signal(after)
        alpha = here / there
        beta = one - alpha
        mean = np.sqrt(there) * beta / (one - here) * clean
        mean = mean + np.sqrt(alpha) * (one - there) / (one - here) * x
        if after < 0:
            return np.asarray(mean, dtype=np.float32)
        variance = np.maximum((one - there) / (one - here) * beta, LEAST_VARIANCE)
        drawn = self._draw.standard_normal(x.shape, dtype=np.float32)
        return np.asarray(mean + np.sqrt(variance) * drawn, dtype=np.float32)


def added_noise(noise: F32) -> np.random.Generator:
    """Make the generator of what is added to a chunk that began with `noise`."""
    content = np.ascontiguousarray(noise, dtype="<f4").tobytes()
    return np.random.default_rng(np.frombuffer(content, dtype="<u4"))
