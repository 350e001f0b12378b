"""Intervals for success rates, and comparisons of two policies on the same starts."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.statistics import (
    compare,
    mcnemar,
    newcombe_paired,
    paired_bootstrap,
    wilson,
)


def test_wilson_matches_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 15 of 148
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)


def test_interval_contains_the_rate_and_stays_within_0_and_1() -> None:
    for n in (1, 5, 100):
        for k in range(n + 1):
            low, high = wilson(k, n)
            assert 0.0 <= low <= k / n <= high <= 1.0


def test_no_trial_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_mcnemar_is_the_binomial_test_of_the_pairs_that_differ() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 5) == 2 / 2**5
    assert mcnemar(1, 7) == mcnemar(7, 1) == 2 * (1 + 8) / 2**8
    # R's binom.test(6, 22)
    assert mcnemar(6, 16) == pytest.approx(0.05248, abs=1e-5)


def test_mcnemar_counts_thousands_of_pairs_without_overflow() -> None:
    assert mcnemar(2000, 2000) == 1.0
    assert 0.0 < mcnemar(1900, 2100) < 0.002


def test_mcnemar_rejects_equal_policies_no_more_often_than_it_says() -> None:
    draws = np.random.default_rng(3).binomial(30, 0.5, size=4000)
    assert np.mean([mcnemar(k, 30 - k) <= 0.05 for k in draws]) <= 0.05


def test_newcombe_matches_published_values_where_the_pairs_do_not_agree() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10; phi is 0 here
    assert newcombe_paired(3, 0, 6, 1) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert newcombe_paired(0, 0, 0, 10) == pytest.approx((-0.2775, 0.2775), abs=1e-4)
    assert newcombe_paired(0, 0, 10, 0) == pytest.approx((0.6075, 1.0), abs=1e-4)


def test_exchanging_the_policies_exchanges_the_interval() -> None:
    low, high = newcombe_paired(36, 12, 2, 0)
    assert newcombe_paired(36, 2, 12, 0) == pytest.approx((-high, -low))
    assert low < -0.2 < high < 0


def test_agreement_of_the_pairs_narrows_the_interval() -> None:
    agreeing, crossing = newcombe_paired(45, 5, 5, 45), newcombe_paired(25, 25, 25, 25)
    assert agreeing[1] - agreeing[0] < crossing[1] - crossing[0]


def test_the_bootstrap_agrees_with_theory_and_repeats() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(60), rng.random(60) + 0.1
    low, high = paired_bootstrap(a, b)
    half = 1.96 * np.std(b - a) / np.sqrt(60)
    middle = np.mean(b - a)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=0.1 * half)
    assert paired_bootstrap(a, b) == (low, high)
    assert paired_bootstrap(a, b, seed=1) != (low, high)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for k in range(300):
        a, b = rng.random(100) < 0.6, rng.random(100) < 0.8
        low, high = paired_bootstrap(a, b, resamples=500, seed=k)
        covered += low <= 0.2 <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_a_comparison_counts_the_pairs() -> None:
    a = [True] * 6 + [False] * 4
    b = [True] * 5 + [False] + [True] * 3 + [False]
    result = compare(a, b)
    assert (result.both, result.only_a, result.only_b, result.neither) == (5, 1, 3, 1)
    assert (result.rate_a, result.rate_b) == (0.6, 0.8)
    assert result.difference == pytest.approx(0.2)
    assert result.p == mcnemar(1, 3)
    assert result.interval[0] < 0.2 < result.interval[1]
    assert result.score_interval[0] < 0.2 < result.score_interval[1]


@pytest.mark.parametrize(("a", "b"), [([], []), ([True], [True, False])])
def test_what_does_not_pair_is_refused(a: list[bool], b: list[bool]) -> None:
    with pytest.raises(ConfigError, match="the same starts"):
        compare(a, b)
