"""Laws of the cadence: fresh images only, and the period kept on the camera's own beat."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.chunks.cadence import Cadence

MS = 1_000_000
START = 1_000_000 * MS


def begins(frame_ms: float, period_ms: float, delays_ms: list[float], busy_ms: float = 0.0):
    """Offer frame k when it was taken plus its delay; return which frames were begun with."""
    cadence, begun, free_ms = Cadence(), [], 0.0
    for k, delay_ms in enumerate(delays_ms):
        now_ms = k * frame_ms + delay_ms
        if now_ms < free_ms:
            continue
        taken, now = START + int(k * frame_ms * MS), START + int(now_ms * MS)
        if cadence.due(taken, now, int(period_ms * MS), int(frame_ms * MS)):
            begun.append(k)
            free_ms = now_ms + busy_ms
    return begun


@pytest.mark.parametrize("seed", range(5))
def test_jitter_does_not_cost_a_frame(seed):
    delays = np.random.default_rng(seed).uniform(5.0, 17.0, 300)
    assert begins(33.3, 100.0, list(delays)) == list(range(0, 300, 3))


def test_the_mean_period_follows_the_camera_where_they_do_not_divide():
    begun = begins(40.0, 100.0, [0.0] * 100)
    assert set(np.diff(begun)) <= {2, 3}


def test_a_period_of_zero_takes_every_frame():
    assert begins(33.3, 0.0, [0.0] * 10) == list(range(10))


def test_slow_inference_skips_to_the_newest_frame():
    assert begins(33.3, 100.0, [0.0] * 13, busy_ms=140.0) == [0, 5, 10]


def test_the_same_images_are_never_used_twice():
    cadence = Cadence()
    assert cadence.due(START, START, 0, 0)
    assert not cadence.due(START, START + 500 * MS, 0, 0)
    assert not cadence.due(START - 33 * MS, START + 501 * MS, 0, 0)


def test_a_set_passed_over_is_not_taken_up_when_the_period_ends():
    cadence = Cadence()
    assert cadence.due(START, START, 100 * MS, 33 * MS)
    assert not cadence.due(START + 66 * MS, START + 66 * MS, 100 * MS, 33 * MS)
    assert not cadence.due(START + 66 * MS, START + 99 * MS, 100 * MS, 33 * MS)
    assert cadence.due(START + 99 * MS, START + 100 * MS, 100 * MS, 33 * MS)


def test_hurry_takes_the_next_new_set():
    cadence = Cadence()
    assert cadence.due(START, START, 100 * MS, 33 * MS)
    cadence.hurry()
    assert not cadence.due(START, START + 10 * MS, 100 * MS, 33 * MS)
    assert cadence.due(START + 33 * MS, START + 34 * MS, 100 * MS, 33 * MS)


def test_a_restarted_clock_does_not_stop_it():
    cadence = Cadence()
    assert cadence.due(START, START, 100 * MS, 33 * MS)
    assert cadence.due(5 * MS, 10 * MS, 100 * MS, 33 * MS)
