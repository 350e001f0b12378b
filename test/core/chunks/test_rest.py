"""Nothing was executed while the arm stood still, so nothing of a late chunk is skipped."""

import numpy as np
import pytest
from arbiter_rig import DT_NS, HOME, LIMITS, MS, TICK_NS, Rig, make_chunk

from arfm_ros.core.chunks.rest import RestClock


def top_speed(rig, ticks=150):
    return max(float(np.abs(rig.tick().velocity[:7]).max()) for _ in range(ticks))


@pytest.mark.parametrize("late_ms", [0, 20, 100, 300, 700, 1500])
@pytest.mark.parametrize("before", ["engage", "hold", "takeover", "reset", "stall"])
def test_from_rest_a_late_chunk_is_played_whole_and_never_chased(before, late_ms):
    rig = Rig().engage()
    rig.tick(5)
    if before == "hold":
        rig.chunk(slope=0.2, horizon=4)
        rig.tick(60)
    if before == "takeover":
        rig.arbiter.on_human(rig.measured, rig.now)
        rig.tick(10)
        rig.arbiter.on_human(None, rig.now)
    if before == "reset":
        rig.arbiter.fail("something")
        rig.tick(5)
        rig.arbiter.reset()
    if before == "stall":
        rig.now += 300 * MS
    rig.tick(2)
    observed = rig.now
    rig.tick(late_ms * MS // TICK_NS)
    start = rig.measured[0]
    plan = make_chunk(observed, offset=start - HOME[0], slope=0.75)
    assert rig.arbiter.on_chunk(plan, rig.now) == ""
    assert top_speed(rig) <= 1.2 * 0.75
    np.testing.assert_allclose(rig.last.command[0], plan.actions[-1][0], atol=1e-3)


def test_in_motion_a_chunk_is_played_by_its_stamps():
    rig = Rig().engage()
    rig.tick(5)
    rig.chunk(slope=0.5)
    rig.tick(30)
    observed, begun = rig.now, rig.arbiter.player.chunk.stamp_ns
    rig.tick(10)
    moved = rig.arbiter.player.path.at(observed).position[0] - HOME[0]
    plan = make_chunk(observed, offset=moved, slope=0.5)
    assert begun < observed and rig.arbiter.on_chunk(plan, rig.now) == ""
    assert rig.arbiter.player.chunk.stamp_ns == observed
    assert top_speed(rig) <= 1.2 * 0.5


@pytest.mark.parametrize("every", [2, 5, 10, 20])
def test_what_comes_while_the_arm_speeds_up_goes_on_with_what_has_begun(every):
    rig = Rig().engage()
    rig.tick(5)
    observed, last, speeds = rig.now, [], []
    for _ in range(2 + 30 // every):  # each was observed when the one before it came
        rig.tick(every)
        path = rig.arbiter.player.path
        begin = (
            0.0 if path is None else path.at(max(observed, path.stamp_ns)).position[0] - HOME[0]
        )
        before = rig.arbiter.player.command(rig.now + rig.arbiter.ahead_ns)
        plan = make_chunk(observed, offset=begin, slope=0.6)
        assert rig.arbiter.on_chunk(plan, rig.now) == ""
        after = rig.arbiter.player.command(rig.now + rig.arbiter.ahead_ns)
        if before is not None:
            last.append(abs(before.position[0] - after.position[0]))
        observed = rig.now
        speeds.append(np.abs(rig.tick().velocity[:7]).max())
    assert max(last) < 4e-3  # rad; a clock of its own is 0.04 rad ahead of an arm at rest
    assert max(*speeds, top_speed(rig, 60)) <= 1.2 * 0.6


def test_at_a_quarter_of_the_speed_the_same_path_takes_four_times_as_long():
    rig = Rig(speed=0.25).engage()
    rig.tick(5)
    plan = make_chunk(rig.now, slope=0.6)
    assert rig.arbiter.on_chunk(plan, rig.now) == ""
    played = rig.arbiter.player.chunk
    assert played.dt_ns == 4 * DT_NS
    while rig.now < played.end_ns - played.dt_ns:  # the last action is where the path stops
        assert np.abs(rig.tick().velocity[:7]).max() <= 1.2 * 0.15
    rig.tick(40)
    np.testing.assert_allclose(rig.last.command[:7], plan.actions[-1][:7], atol=1e-3)


def test_an_observation_older_than_allowed_is_refused_by_its_age():
    rig = Rig(observation_age_max_ns=1000 * MS).engage()
    rig.tick(5)
    observed = rig.now
    rig.tick(120)
    assert "1.2 s old" in rig.arbiter.on_chunk(make_chunk(observed), rig.now)


def test_the_rest_clock_adds_up_periods_and_what_goes_on():
    clock = RestClock()
    clock.note(0, True)
    for now, resting in ((10, True), (20, True), (30, False), (40, True), (50, False)):
        clock.note(now, resting)
    assert clock.within(0, 50, False) == 30
    assert clock.within(15, 35, False) == 10
    assert clock.within(45, 70, True) == 20
    assert LIMITS.size == 8
