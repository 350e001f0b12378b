"""Intervals for success rates, and what two policies on the same starts differ by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

import numpy as np

from arfm_ros.core.errors import ConfigError

RESAMPLES = 10_000


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson 1927), 95 % by default.

    Without trials nothing is known: (0, 1).
    """
    if trials == 0:
        return (0.0, 1.0)
    rate, spread = successes / trials, z * z / trials
    centre = rate + spread / 2
    half = z * sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    low, high = (centre - half) / (1 + spread), (centre + half) / (1 + spread)
    return (max(0.0, low), min(1.0, high))


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A on the same n starts; positive differences mean that B is better."""

    n: int
    rate_a: float
    rate_b: float
    both: int  # starts on which both succeeded
    only_a: int  # on which A alone did
    only_b: int
    neither: int
    difference: float  # rate_b - rate_a
    interval: tuple[float, float]  # of the difference, 95 %, paired bootstrap
    score_interval: tuple[float, float]  # the same after Newcombe; holds for few pairs too
    p: float  # McNemar's exact test, two-sided


def compare(a: Sequence[bool], b: Sequence[bool], seed: int = 0) -> Comparison:
    """Compare successes of A and B, entry i of both from the same start.

    `seed` decides the bootstrap's resamples. Raises `ConfigError` for nothing to compare.
    """
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _check_pairs(len(first), len(second))
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_a, only_b = int((first & ~second).sum()), int((~first & second).sum())
    n = len(first)
    return Comparison(
        n=n,
        rate_a=(both + only_a) / n,
        rate_b=(both + only_b) / n,
        both=both,
        only_a=only_a,
        only_b=only_b,
        neither=neither,
        difference=(only_b - only_a) / n,
        interval=paired_bootstrap(first.astype(float), second.astype(float), seed=seed),
        score_interval=newcombe_paired(both, only_a, only_b, neither),
        p=mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p of McNemar's exact test: is a pair that differs a fair coin?

    Twice the smaller binomial tail of the discordant pairs, at most 1; without any it is 1.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail = ways = 1  # exact: integers of any size
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def paired_bootstrap(
    a: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]],
    b: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval (Efron 1979) of mean(b - a) over resampled pairs.

    a, b [N]: successes, or any number that each start gave. Drawing N pairs with replacement is
    drawing how often each distinct difference occurs, which needs no table of N x resamples.
    Pairs that are all the same give an interval of no width: they say nothing about others.
    Raises `ConfigError` for nothing to compare.
    """
    _check_pairs(len(a), len(b))
    differences = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    values, counts = np.unique(differences, return_counts=True)
    n = len(differences)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    low, high = np.quantile(drawn @ values / n, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def median_interval(
    values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval (Efron 1979) of the median of values [N], resampled.

    Raises `ConfigError` for no values.
    """
    given = np.asarray(values, dtype=np.float64)
    if not len(given):
        raise ConfigError("0 values have no median: needs 1 or more")
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(given, (resamples, len(given))), axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high))


def newcombe_paired(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Return the 95 % interval of rate_b - rate_a from two Wilson intervals and their correlation.

    Newcombe 1998, Statistics in Medicine 17:2635, method 10. It has a width even where no pair
    differs.
    """
    n = both + only_a + only_b + neither
    good_a, good_b = both + only_a, both + only_b
    low_a, high_a = (abs(end - good_a / n) for end in wilson(good_a, n))
    low_b, high_b = (abs(end - good_b / n) for end in wilson(good_b, n))
    product = good_a * (n - good_a) * good_b * (n - good_b)
    agreement = float(both * neither - only_a * only_b)
    if agreement > 0:
        agreement = max(agreement - n / 2, 0.0)  # continuity
    phi = agreement / sqrt(product) if product else 0.0
    difference = (good_b - good_a) / n
    low = sqrt(max(low_b**2 - 2 * phi * low_b * high_a + high_a**2, 0.0))
    high = sqrt(max(high_b**2 - 2 * phi * high_b * low_a + low_a**2, 0.0))
    return (difference - low, difference + high)


def _check_pairs(a: int, b: int) -> None:
    if a != b or a == 0:
        raise ConfigError(f"{a} and {b} results do not pair: needs the same starts of both, ≥ 1")
