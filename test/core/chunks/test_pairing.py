"""Pictures of one time are waited for, where that pays."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.chunks.pairing import Newest, wait_until_ns

MS = 1_000_000
FRAME, TOLERANCE = 33 * MS, 40 * MS


def begun(offset_ms: float, lag_ms: float, frames: int = 200, dropped: float = 0.0, seed: int = 0):
    """Play two cameras; return the age of the oldest picture [N] where each set is begun."""
    rng = np.random.default_rng(seed)
    events = []
    for n in range(frames):
        for name, shift in (("scene", 0.0), ("wrist", offset_ms)):
            if rng.random() >= dropped:
                stamp = round((1000 + 33 * n + shift) * MS)
                late = lag_ms + rng.uniform(0.0, 1.0)
                events.append((stamp + round(late * MS), name, stamp))
    events.sort()
    newest: dict[str, Newest] = {}
    ages, seen, until, k = [], 0, 0, 0
    times = [at for at, _, _ in events]
    while k < len(events) or until:
        at = min(times[k] if k < len(events) else 10**18, until or 10**18)
        if k < len(events) and at == times[k]:
            _, name, stamp = events[k]
            newest[name] = Newest(stamp, FRAME, at - stamp)
            k += 1
        if len(newest) < 2:
            continue
        until = wait_until_ns(newest, at)
        oldest = min(one.stamp_ns for one in newest.values())
        apart = max(one.stamp_ns for one in newest.values()) - oldest
        if not until and oldest > seen and apart <= TOLERANCE:  # as the synchronizer has it
            seen = oldest
            ages.append((at - oldest) / MS)
    return np.array(ages)


@pytest.mark.parametrize("offset_ms", [0.0, 0.3, 2.0, 5.0, 31.0, 32.9])
@pytest.mark.parametrize("lag_ms", [0.2, 4.0])
def test_pictures_of_nearly_one_time_are_used_together(offset_ms: float, lag_ms: float) -> None:
    apart = min(offset_ms, 33.0 - offset_ms)
    ages = begun(offset_ms, lag_ms)
    assert len(ages) > 190  # a set a frame
    assert np.median(ages) <= lag_ms + apart + 1.5


@pytest.mark.parametrize("offset_ms", np.arange(0.0, 33.0, 2.5))
def test_no_phase_of_two_cameras_costs_more_than_half_a_frame(offset_ms: float) -> None:
    ages = begun(float(offset_ms), 3.0)
    assert np.median(ages) <= 3.0 + 33 / 2 + 9.5


def test_a_camera_that_drops_pictures_is_waited_for_a_moment_only() -> None:
    ages = begun(1.0, 2.0, frames=1000, dropped=0.1)
    assert np.median(ages) <= 5.0
    assert ages.max() <= 33 + 33 / 4 + 6


def test_one_camera_or_an_unknown_rate_is_not_waited_for() -> None:
    assert wait_until_ns({"scene": Newest(0, FRAME, 0)}, FRAME) == 0
    two = {"scene": Newest(FRAME, 0, 0), "wrist": Newest(1, 0, 0)}
    assert wait_until_ns(two, FRAME) == 0
