"""Laws of the synchronizer: it only combines what belongs together, and says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.values.sync import Input, Missing, Synced, Synchronizer

MS = 1_000_000
START = 1_000_000 * MS
CAMERAS = [Input("scene", "camera scene", 10.0), Input("wrist", "camera wrist", 10.0)]


def make(inputs=CAMERAS, tolerance_ms=20, max_age_ms=300):
    return Synchronizer(inputs, tolerance_ms * MS, max_age_ms * MS)


def feed(sync, name, times_ms):
    for ms in times_ms:
        sync.add(name, START + ms * MS, f"{name}@{ms}")


def at(ms):
    return START + ms * MS


def reasons(found):
    assert isinstance(found, Missing)
    return str(found)


@pytest.mark.parametrize("seed", range(20))
def test_a_set_lies_within_the_tolerance_and_no_newer_set_exists(seed):
    rng = np.random.default_rng(seed)
    inputs = [Input(name) for name in "abc"]
    sync = make(inputs, tolerance_ms=15, max_age_ms=10_000)
    stamps = {}
    for one in inputs:
        stamps[one.name] = [at(int(ms)) for ms in rng.choice(400, 12, replace=False)]
        for stamp in stamps[one.name]:  # in random order
            sync.add(one.name, stamp, (one.name, stamp))
    best = max(
        (
            min(a, b, c)
            for a in stamps["a"]
            for b in stamps["b"]
            for c in stamps["c"]
            if max(a, b, c) - min(a, b, c) <= 15 * MS
        ),
        default=None,
    )
    found = sync.latest(at(500))
    if best is None:
        assert isinstance(found, Missing)
        return
    assert isinstance(found, Synced)
    used = found.stamps_ns.values()
    assert found.stamp_ns == min(used) == best
    assert max(used) - min(used) <= 15 * MS
    assert found.values == {name: (name, stamp) for name, stamp in found.stamps_ns.items()}


@pytest.mark.parametrize("seed", range(5))
def test_order_of_arrival_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    samples = [(name, ms) for name in ("scene", "wrist") for ms in range(0, 200, 33)]
    forward, shuffled = make(), make()
    for name, ms in samples:
        forward.add(name, at(ms), ms)
    for index in rng.permutation(len(samples)):
        name, ms = samples[index]
        shuffled.add(name, at(ms), ms)
    assert forward.latest(at(210)) == shuffled.latest(at(210))


def test_an_image_still_on_its_way_leaves_the_last_complete_set():
    sync = make()
    feed(sync, "scene", (0, 33, 66))
    feed(sync, "wrist", (0, 33))
    found = sync.latest(at(70))
    assert isinstance(found, Synced)
    assert found.values == {"scene": "scene@33", "wrist": "wrist@33"}


def test_fast_states_pair_with_the_image_not_with_now():
    sync = make([Input("scene"), Input("joints")])
    feed(sync, "scene", (0, 33))
    feed(sync, "joints", range(0, 60, 5))
    found = sync.latest(at(60))
    assert isinstance(found, Synced)
    assert (found.stamp_ns, found.values["joints"]) == (at(33), "joints@35")


def test_a_silent_input_is_named_with_its_age_and_the_knob():
    sync = make()
    feed(sync, "scene", range(0, 1000, 33))
    feed(sync, "wrist", range(0, 200, 33))
    text = reasons(sync.latest(at(998)))
    assert "camera wrist: nothing for 0.8 s" in text and "max_age_s" in text
    assert "scene" not in text


def test_an_input_that_never_came_is_named():
    sync = make()
    feed(sync, "scene", (0, 33))
    assert reasons(sync.latest(at(40))) == "camera wrist: nothing received yet"


def test_a_slow_camera_is_named_with_its_rate_and_what_it_needs():
    sync = make()
    feed(sync, "scene", range(0, 2000, 250))
    feed(sync, "wrist", range(0, 1790, 33))
    assert "camera scene too slow: 4 Hz, needs >= 10 (min_hz)" in reasons(sync.latest(at(1800)))


def test_stamps_from_the_future_are_not_used_and_blamed_on_the_clock():
    sync = make()
    feed(sync, "scene", (0, 33))
    feed(sync, "wrist", (3000, 3033))
    text = reasons(sync.latest(at(40)))
    assert "camera wrist: stamps are 2.99 s in the future" in text and "clocks" in text


def test_messages_without_stamps_are_blamed_on_the_driver():
    sync = make()
    feed(sync, "scene", (0, 33))
    sync.add("wrist", 0, "unstamped")
    assert "camera wrist: messages carry no stamp" in reasons(sync.latest(at(40)))


def test_inputs_that_never_line_up_are_named_with_their_distance():
    sync = make(tolerance_ms=10, max_age_ms=300)
    feed(sync, "scene", (0, 50, 100))
    feed(sync, "wrist", (75,))
    text = reasons(sync.latest(at(110)))
    assert "camera wrist is 25 ms behind camera scene" in text and "tolerance_s" in text


def test_a_restarted_clock_starts_an_input_anew():
    sync = make()
    for name in ("scene", "wrist"):
        feed(sync, name, range(60_000, 60_100, 33))
        feed(sync, name, (0, 33))
    found = sync.latest(at(40))
    assert isinstance(found, Synced) and found.stamp_ns == at(33)


def test_memory_is_bounded_by_the_age_that_is_of_use():
    sync = make(max_age_ms=100, tolerance_ms=20)
    feed(sync, "scene", range(0, 10_000))
    assert len(sync._tracks["scene"].values) <= 122
    assert sync.rate_hz("scene") == pytest.approx(1000.0)


def test_what_was_before_is_nearest_in_time_and_never_newer():
    sync = make([Input("scene"), Input("joints")], max_age_ms=60)
    sync.remember(100 * MS)
    feed(sync, "scene", (0, 50, 100))
    feed(sync, "joints", range(0, 130, 10))
    found = sync.latest(at(104))
    assert isinstance(found, Synced) and found.stamp_ns == at(100)
    before = sync.before(found, at(50))
    assert before.values == {"scene": "scene@50", "joints": "joints@50"}
    assert before.stamp_ns == at(50)
    assert sync.before(found, at(30)).values == {"scene": "scene@50", "joints": "joints@30"}
    assert sync.before(found, at(500)).stamps_ns == found.stamps_ns


def test_before_the_first_sample_there_is_only_the_first():
    sync = make()
    for name in ("scene", "wrist"):
        feed(sync, name, (0,))
    found = sync.latest(at(5))
    assert isinstance(found, Synced) and sync.before(found, at(-50)) == found


def test_what_is_to_be_remembered_outlives_the_age_that_is_of_use():
    short, long = make(max_age_ms=40, tolerance_ms=10), make(max_age_ms=40, tolerance_ms=10)
    long.remember(1000 * MS)
    for sync in (short, long):
        feed(sync, "scene", range(0, 2000))
    assert (len(short._tracks["scene"].values), len(long._tracks["scene"].values)) == (51, 1051)


def test_a_slow_gripper_neither_keeps_a_set_from_existing_nor_makes_it_older():
    sync = make([Input("scene"), Input("joints"), Input("gripper", loose=True)])
    feed(sync, "scene", (0, 33, 66))
    feed(sync, "joints", range(0, 70, 5))
    assert "gripper: nothing received yet" in reasons(sync.latest(at(70)))
    feed(sync, "gripper", (-150,))
    found = sync.latest(at(70))
    assert isinstance(found, Synced)
    assert found.stamp_ns == at(65)  # of the joints
    assert found.values == {"scene": "scene@66", "joints": "joints@65", "gripper": "gripper@-150"}
    assert sync.before(found, at(30)).stamp_ns == at(30)
    assert "gripper: nothing for 0.31 s" in reasons(sync.latest(at(160)))
