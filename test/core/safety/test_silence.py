"""Stalls, clocks and the e-stop's heartbeat: what time does to the arbiter."""

import numpy as np
import pytest
from arbiter_rig import HOME, LIMITS, MS, TICK_NS, Rig, make_chunk

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety import decision as arb
from arfm_ros.robots.fr3.gains import TUNED


def moving(**config):
    rig = Rig(**config).engage()
    rig.tick(2)
    rig.chunk(slope=1.0)
    rig.tick(32)
    assert np.abs(rig.last.velocity).max() > 0.8
    return rig


@pytest.mark.parametrize("silence_ms", [20, 60, 100])
def test_a_short_own_silence_changes_nothing(silence_ms):
    rig = moving()
    rig.now += silence_ms * MS - TICK_NS
    assert rig.tick().authority == arb.POLICY


@pytest.mark.parametrize("state_first", [True, False])
@pytest.mark.parametrize("silence_ms", [110, 200, 400, 490])
def test_a_longer_one_needs_a_fresh_chunk_and_goes_on_by_itself(silence_ms, state_first):
    rig = moving()
    observed = rig.now
    rig.now += silence_ms * MS
    if state_first:
        rig.arbiter.on_state(rig.measured, rig.now, rig.now)
    assert "older than the hand-over" in rig.arbiter.on_chunk(make_chunk(observed), rig.now)
    before = rig.last
    decision = rig.last = rig.arbiter.tick(rig.now)
    assert decision.authority == arb.HOLD and rig.arbiter.fault == ""
    gap_s = silence_ms / 1e3
    assert (np.abs(decision.velocity - before.velocity) <= LIMITS.acceleration * gap_s).all()
    rig.tick(60)
    assert not rig.last.velocity.any()
    assert rig.chunk() == "" and rig.tick().authority == arb.POLICY


@pytest.mark.parametrize("state_first", [True, False])
@pytest.mark.parametrize("silence_ms", [510, 1000, 3000])
def test_a_long_one_is_latched_whoever_speaks_first(silence_ms, state_first):
    rig = moving()
    rig.now += silence_ms * MS
    if state_first:
        rig.arbiter.on_state(rig.measured, rig.now, rig.now)
    decision = rig.last = rig.arbiter.tick(rig.now)
    assert decision.authority == arb.HOLD
    assert rig.arbiter.fault.startswith("the arbiter itself was silent for")
    rig.tick(60)
    assert not rig.last.velocity.any() and "silent" in rig.chunk()


@pytest.mark.parametrize("silence_ms", [40, 80, 200, 400])
def test_after_a_silence_it_goes_on_from_where_the_controller_ran_on_to(silence_ms):
    lanes = (arb.Lane("arm", 7, TUNED.lead, (), TUNED.run_on), arb.Lane("gripper", 1))
    rig = moving(lanes=lanes)
    before = rig.last
    rig.now += silence_ms * MS
    gap_s = silence_ms / 1e3
    decision = rig.last = rig.arbiter.tick(rig.now)
    late_s = TUNED.damping[0] / TUNED.stiffness[0]
    way = late_s * before.velocity[0] * (1 - np.exp(-gap_s / late_s))
    moved = decision.command[:7] - before.command[:7]
    np.testing.assert_allclose(moved[0], way, rtol=0.25)
    assert (np.abs(moved) <= np.abs(before.velocity[:7]) * gap_s + 1e-9).all()
    change = np.abs(decision.velocity - before.velocity)
    assert (change <= LIMITS.acceleration * gap_s + 1e-9).all()


@pytest.mark.parametrize("step_ms", [-900, -1500, -3_600_000])
def test_a_clock_that_goes_back_brakes_in_the_same_time_as_ever(step_ms):
    rig = moving()
    rig.now += step_ms * MS
    for tick in range(40):
        decision = rig.tick()
        still = np.abs(decision.velocity) < 1e-9
        assert tick < 35 or still.all()
    assert decision.authority == arb.HOLD and "clock went back" in rig.arbiter.fault


def test_going_idle_brakes_first_and_answers_at_once():
    rig = moving()
    rig.arbiter.disengage()
    assert rig.arbiter.engaged and rig.chunk() == "not engaged"
    speeds = []
    while rig.arbiter.engaged:
        speeds.append(np.abs(rig.tick().velocity).max())
        assert rig.last.reason == "going idle" and len(speeds) < 40
    assert speeds[-1] < 1e-6
    assert rig.tick().command is None and rig.last.authority == arb.IDLE
    rig.engage().tick()
    assert rig.chunk() == ""


def test_idle_without_motion_is_idle_at_once_and_engaging_again_stops_the_leaving():
    rig = Rig().engage()
    rig.tick(5)
    rig.arbiter.disengage()
    assert not rig.arbiter.engaged
    rig = moving()
    rig.arbiter.disengage()
    rig.tick(3)
    rig.arbiter.engage(rig.now, rig.measured)
    rig.tick(80)
    assert rig.arbiter.engaged


def test_a_silent_heartbeat_is_a_press_and_its_return_needs_a_reset():
    rig = Rig(estop_silence_ns=200 * MS).engage()
    rig.arbiter.on_estop(False, rig.now)
    rig.tick(15)
    assert rig.last.authority == arb.HOLD
    rig.tick(10)
    assert rig.last.authority == arb.ESTOP and rig.last.reason == "e-stop heartbeat is lost"
    with pytest.raises(SafetyError, match="heartbeat is lost"):
        rig.arbiter.reset()
    rig.arbiter.on_estop(False, rig.now)
    assert rig.tick().authority == arb.ESTOP
    rig.arbiter.reset()
    assert rig.tick().authority == arb.HOLD


def test_a_heartbeat_that_never_came_is_lost_too():
    rig = Rig(estop_silence_ns=200 * MS).engage()
    rig.tick(30)
    assert rig.last.authority == arb.ESTOP


def test_a_press_begins_to_brake_within_a_tick_and_needs_no_clock_of_its_own():
    rig = moving()
    speed = np.abs(rig.last.velocity[0])
    rig.arbiter.on_estop(True)
    assert np.abs(rig.tick(2).velocity[0]) < speed
    np.testing.assert_allclose(HOME.shape, (8,))
