"""Intervals for success rates."""

import pytest

from arfm_ros.core.statistics import wilson


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
