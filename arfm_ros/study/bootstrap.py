"""Intervals over training seeds and episodes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def hierarchical(values: F64, seed: int = 0) -> Estimate:
    """Bootstrap the mean of values [seeds, tasks, episodes] on two levels.

    Training seeds are drawn with replacement, then for each task its episodes, the same for all
    of the seeds drawn, since all seeds were measured on the same starts. Tasks are not drawn: they
    are all there are. The interval is that of the percentiles. Of one seed alone the spread
    between trainings is unknown, and the interval is that of the episodes.
    """
    means = _drawn(values, seed)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(values.mean()), float(low), float(high))


def _drawn(values: F64, seed: int = 0) -> F64:
    """Return the means [RESAMPLES] of values drawn again; the same seed draws the same."""
    rng = np.random.default_rng(seed)
    seeds, tasks, episodes = values.shape
    means = np.empty(RESAMPLES)
    task = np.arange(tasks)[:, None]
    for i in range(RESAMPLES):
        rows = rng.integers(seeds, size=seeds)
        drawn = rng.integers(episodes, size=(tasks, episodes))
        means[i] = values[rows].mean(axis=0)[task, drawn].mean()
    return means


def difference(a: F64, b: F64) -> Estimate:
    """Bootstrap the mean of a - b, both [seeds, tasks, episodes], paired in all three."""
    return hierarchical(a - b)


def relative(a: F64, b: F64) -> Estimate:
    """Bootstrap mean(a) / mean(b) - 1, both [seeds, tasks, episodes], paired in all three."""
    low, high = np.percentile(_drawn(a) / _drawn(b) - 1.0, (2.5, 97.5))
    return Estimate(float(a.mean() / b.mean() - 1.0), float(low), float(high))
