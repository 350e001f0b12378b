"""Laws of the arbiter when something fails: it brakes, holds and says why."""

import numpy as np
import pytest
from arbiter_rig import HOME, LIMITS, MS, TICK_NS, Rig, make_chunk

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety import decision as arb


def test_a_stale_joint_state_brakes_and_holds_until_it_is_fresh():
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=0.8)
    rig.tick(20)
    rig.frozen = True
    decision = rig.tick(45)
    assert decision.authority == arb.HOLD and "stale" in decision.reason
    assert not decision.velocity.any() and np.abs(decision.command).max() > 0.1
    seen = rig.now
    rig.frozen = False
    assert rig.tick(5).reason == "waiting for a chunk"
    rig.arbiter.on_chunk(make_chunk(seen - 100 * MS), rig.now)
    assert "older than the hand-over" in rig.arbiter.last_rejection
    rig.chunk()
    assert rig.tick().authority == arb.POLICY


def test_states_that_come_in_time_but_with_old_stamps_hold_too():
    rig = Rig().engage()
    for delay_ms, authority in ((150, arb.POLICY), (300, arb.HOLD)):
        rig.tick()
        rig.chunk()
        rig.frozen = True
        for _ in range(10):
            rig.arbiter.on_state(rig.measured, rig.now - delay_ms * MS, rig.now)
            rig.tick()
        assert rig.last.authority == authority
        rig.frozen = False


def test_a_lost_joint_state_holds_until_a_reset():
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=0.8)
    rig.tick(20)
    rig.frozen = True
    rig.tick(60)
    rig.frozen = False
    assert "stale" in rig.tick(5).reason and rig.last.authority == arb.HOLD
    rig.arbiter.reset()
    assert "waiting" in rig.tick().reason


def test_one_late_tick_of_the_arbiter_is_not_a_stale_state():
    rig = Rig().engage()
    rig.tick()
    rig.chunk()
    rig.now += 90 * MS
    assert rig.arbiter.tick(rig.now).authority == arb.POLICY
    assert rig.arbiter.fault == ""


def test_a_joint_state_that_is_not_finite_holds_with_the_joint_named():
    rig = Rig().engage()
    rig.tick()
    position = HOME.copy()
    position[3] = np.nan
    rig.arbiter.on_state(position, rig.now, rig.now)
    assert rig.tick().reason == "joint state is not finite: fr3_joint4"


def test_an_arm_that_does_not_follow_holds_and_reset_glides_back_to_it():
    rig = Rig().engage()
    rig.tick()
    stuck = HOME.copy()
    stuck[0] += 0.7
    for moved in (*np.linspace(0.0, 0.7, 12), *np.full(30, 0.7)):  # for longer than 250 ms
        rig.measured = HOME + moved * np.eye(8)[0]
        rig.last = rig.tick()
        rig.measured = HOME + moved * np.eye(8)[0]
    assert "does not follow its command: fr3_joint1" in rig.tick().reason
    rig.arbiter.on_state(stuck, rig.now, rig.now)
    rig.arbiter.reset()
    rig.frozen = True
    for _ in range(200):
        rig.now += TICK_NS
        rig.arbiter.on_state(stuck, rig.now, rig.now)
        before, rig.last = rig.last, rig.arbiter.tick(rig.now)
        rig.check_step(before)
    assert rig.arbiter.fault == ""
    np.testing.assert_allclose(rig.last.command[:7], stuck[:7], atol=1e-6)


def test_the_e_stop_is_latched_until_released_and_reset():
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=1.0)
    rig.tick(20)
    moving = np.abs(rig.last.velocity).max()
    rig.arbiter.on_estop(True)
    assert rig.tick().authority == arb.ESTOP
    decision = rig.tick(60)
    assert moving > 0.5 and not decision.velocity.any()
    stopped = decision.command
    with pytest.raises(SafetyError, match="still pressed"):
        rig.arbiter.reset()
    rig.arbiter.on_estop(False)
    assert rig.tick().authority == arb.ESTOP
    with pytest.raises(SafetyError, match="latched"):
        rig.engage()
    rig.arbiter.reset()
    decision = rig.tick(10)
    assert decision.authority == arb.HOLD
    np.testing.assert_allclose(decision.command, stopped, atol=1e-6)


def test_the_first_fault_stays_and_refuses_chunks():
    rig = Rig().engage()
    rig.tick()
    rig.arbiter.fail("second publisher")
    rig.arbiter.fail("something later")
    assert rig.tick().reason == "second publisher"
    assert "holding: second publisher" in rig.chunk()


def test_while_somebody_else_commands_the_arm_the_command_waits_where_the_arm_is():
    rig = Rig().engage()
    rig.chunk(slope=0.4)
    rig.tick(30)
    rig.frozen = True  # the controller ignores us, the arm stops
    stopped = rig.measured.copy()
    before = rig.last
    for _ in range(8):
        rig.arbiter.unheard("target_joint has 2 publishers")
        for _ in range(10):
            rig.now += 10 * MS
            rig.arbiter.on_state(stopped, rig.now, rig.now)
            decision = rig.arbiter.tick(rig.now)
            change = np.abs(decision.velocity - before.velocity)
            assert (change <= LIMITS.acceleration * TICK_NS / 1e9 + 1e-9).all()
            before = decision
    assert decision.authority == "hold"
    assert "2 publishers" in decision.reason
    assert np.abs(decision.command - stopped).max() < 1e-9
    assert not decision.velocity.any()
