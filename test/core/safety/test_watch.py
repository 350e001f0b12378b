"""Joint states that cannot be true, and arms that do not do what they are told."""

import numpy as np
import pytest
from arbiter_rig import HOME, LIMITS, MS, TICK_NS, Rig, make_chunk

from arfm_ros.core.safety import decision as arb


def drive(rig, ticks, measure):
    """Tick with `measure(command, k)` as the robot's state."""
    for k in range(ticks):
        rig.now += TICK_NS
        rig.arbiter.on_state(measure(rig.last.command, k), rig.now, rig.now)
        rig.last = rig.arbiter.tick(rig.now)
    return rig.last


def started(slope=0.6):
    rig = Rig().engage()
    rig.tick(3)
    rig.chunk(slope=slope)
    rig.tick(1)
    return rig


def test_states_that_repeat_while_the_arm_is_to_move_are_a_fault_by_name():
    rig = started()
    stuck = rig.measured.copy()
    decision = drive(rig, 40, lambda command, k: stuck)
    assert decision.authority == arb.HOLD and "repeat to the last bit" in decision.reason


def test_an_arm_that_ignores_its_commands_is_named_within_half_a_second():
    rig, rng = started(), np.random.default_rng(0)
    stuck, begin = rig.measured.copy(), rig.now
    while rig.arbiter.fault == "" and rig.now < begin + 600 * MS:
        drive(rig, 1, lambda command, k: stuck + rng.normal(0, 1e-4, 8))
    assert "ignored by the controller" in rig.arbiter.fault


def test_when_following_begins_again_the_command_starts_at_the_measured_position():
    rig, rng = started(), np.random.default_rng(0)
    stuck = rig.measured.copy()
    drive(rig, 60, lambda command, k: stuck + rng.normal(0, 1e-4, 8))
    assert np.abs(rig.last.command - stuck).max() > 0.05
    rig.arbiter.reset()
    decision = drive(rig, 1, lambda command, k: stuck)
    np.testing.assert_allclose(decision.command[:7], stuck[:7], atol=1e-3)
    assert rig.arbiter.fault == "" and np.abs(decision.velocity).max() < 1e-2


def test_an_offset_that_appears_is_a_jump():
    for offset in (0.3 * np.eye(8)[2], 0.45 * np.eye(8)[2]):
        rig = started(slope=0.0)
        decision = drive(rig, 5, lambda command, k, by=offset: command + by)
        assert decision.authority == arb.HOLD and "jumped: fr3_joint3" in decision.reason


def test_a_state_that_came_late_makes_no_jump_of_the_one_that_is_in_time():
    rig = started(slope=0.0)
    late = rig.measured.copy()
    now, watch = rig.now, rig.arbiter.watch
    moved = late + 0.09 * LIMITS.velocity * np.append(np.ones(7), 0.0)  # in 90 ms
    assert watch.see(late, now - 90 * MS, now + 1 * MS) == ""
    assert watch.see(moved, now, now + 2 * MS) == ""
    assert "jumped" in watch.see(moved + 1.0, now + 4 * MS, now + 6 * MS)


def test_an_offset_in_a_state_that_comes_late_is_a_jump_all_the_same():
    rig = started(slope=0.0)
    right, now, watch = rig.measured.copy(), rig.now, rig.arbiter.watch
    assert watch.see(right, now, now + 2 * MS) == ""
    wrong = right + 0.3 * np.eye(8)[2]
    assert "jumped: fr3_joint3" in watch.see(wrong, now + 10 * MS, now + 90 * MS)


@pytest.mark.parametrize("offset", [0.3, -0.45])
def test_an_offset_that_begins_in_a_gap_is_a_jump(offset):
    """In 0.2 s an axis could go half a radian; one that is held does not."""
    rig = started(slope=0.5)
    drive(rig, 40, lambda command, k: command)
    rig.frozen = True  # no state for 0.2 s: the arbiter brakes and holds
    assert "stale" in rig.tick(20).reason
    seen = rig.last.command + offset * np.eye(8)[2]
    assert "jumped: fr3_joint3" in rig.arbiter.watch.see(seen, rig.now, rig.now)


def test_an_arm_that_comes_to_rest_in_a_gap_did_not_jump():
    for there in (0.0, 0.05, -0.15):
        rig = started(slope=0.5)
        drive(rig, 40, lambda command, k: command - 0.1)  # it stays behind
        rig.frozen = True
        rig.tick(20)
        assert rig.arbiter.watch.see(rig.last.command + there, rig.now, rig.now) == ""


def test_an_offset_from_the_start_shows_when_the_arm_moves():
    rig = started(slope=1.1)
    true = rig.measured.copy()

    def lagging(command, k):  # moves at a fifth of its speed
        return true + (command - HOME) / 5

    drive(rig, 110, lagging)
    assert "does not follow its command" in rig.arbiter.fault


def test_noise_small_moves_and_a_gripper_that_holds_are_no_faults():
    rig, rng = started(slope=0.02), np.random.default_rng(1)
    held = np.append(np.ones(7), 0.0)

    def noisy(command, k):
        return command * held + rng.normal(0, 5e-4, 8) * held + 0.4 * (1 - held)

    for _ in range(10):
        drive(rig, 60, noisy)
        rig.arbiter.on_chunk(make_chunk(rig.now, slope=0.02), rig.now)
    assert rig.arbiter.fault == ""


def test_an_old_stamp_is_called_old_and_not_an_arm_that_does_not_follow():
    rig = started()
    drive(rig, 70, lambda command, k: command)
    for _ in range(4):
        rig.now += TICK_NS
        rig.arbiter.on_state(rig.last.command, rig.now - 1_000 * MS, rig.now)
        rig.last = rig.arbiter.tick(rig.now)
    assert rig.last.authority == arb.HOLD and "stale" in rig.arbiter.fault
