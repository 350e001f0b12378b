"""Measures of smoothness, against movements whose measures are known."""

import numpy as np
import pytest

from arfm_ros.core.safety.smoothness import (
    Smoothness,
    log_dimensionless_jerk,
    mean_of,
    shaking,
    smoothness_of,
    spectral_arc_length,
)

PERIOD_S = 0.001


def minimum_jerk(duration_s=2.0):
    """A straight minimum-jerk reach of 0.4 m [T, 3]."""
    s = np.arange(0.0, 1.0, PERIOD_S / duration_s)
    way = 10 * s**3 - 15 * s**4 + 6 * s**5
    return np.stack([0.4 * way, 0 * way, 0 * way], axis=1)


def test_the_share_above_3_hz_is_that_of_the_sines_in_it():
    t = np.arange(0, 10, 0.01)
    for amplitude in (0.0, 0.1, 1.0):
        slow, fast = np.sin(2 * np.pi * 1.0 * t), amplitude * np.sin(2 * np.pi * 5.0 * t)
        wanted = amplitude**2 / (1 + amplitude**2)
        found = shaking(np.stack([slow + fast, slow + fast], axis=1), 0.01)
        assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("duration_s", [1.0, 2.0, 5.0])
def test_a_minimum_jerk_reach_has_its_textbook_jerk_at_any_speed_and_size(duration_s):
    # 720 D^2 / T^5 integral of the squared jerk, 1.875 D / T peak speed: 720 / 1.875^2
    for scale in (1.0, 0.1):
        found = log_dimensionless_jerk(scale * minimum_jerk(duration_s), PERIOD_S)
        assert found == pytest.approx(np.log(720 / 1.875**2), abs=0.05)


def test_shaking_makes_every_measure_worse():
    path, t = minimum_jerk(), np.arange(len(minimum_jerk())) * PERIOD_S
    shaken = path + 0.003 * np.sin(2 * np.pi * 6 * t)[:, None]
    assert log_dimensionless_jerk(shaken, PERIOD_S) > log_dimensionless_jerk(path, PERIOD_S) + 2
    assert spectral_arc_length(shaken, PERIOD_S) < spectral_arc_length(path, PERIOD_S) - 0.05
    assert -2.0 < spectral_arc_length(path, PERIOD_S) < -1.2


def test_what_did_not_move_has_no_measure_and_means_leave_it_out():
    still = smoothness_of(np.zeros((50, 7)), np.zeros((50, 3)), np.zeros((50, 7)), 0.01)
    assert still == Smoothness()
    assert mean_of([still, Smoothness(shaking=0.2), Smoothness(shaking=0.4)]).shaking == (
        pytest.approx(0.3)
    )
