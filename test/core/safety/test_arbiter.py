"""Laws of the arbiter: no jump, no zero, one authority at a time, faults hold."""

import numpy as np
import pytest
from arbiter_rig import HOME, HORIZON, MS, TICK_NS, Rig, make_chunk
from hypothesis import given, settings
from hypothesis import strategies as st

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety import decision as arb


def test_idle_commands_nothing():
    decision = Rig().tick()
    assert decision.command is None and decision.authority == arb.IDLE


def test_engaged_without_a_chunk_holds_the_measured_position():
    decision = Rig().engage().tick(50)
    assert decision.authority == arb.HOLD and "waiting for a chunk" in decision.reason
    np.testing.assert_allclose(decision.command, HOME, atol=1e-12)


def test_a_chunk_is_followed_at_its_due_times():
    rig = Rig().engage()
    rig.tick()
    stamp = rig.now
    assert rig.chunk(slope=0.3) == ""
    played = rig.arbiter.player.chunk  # from rest its clock speeds up before it runs
    assert stamp < played.stamp_ns < stamp + 10 * TICK_NS
    for k in range(5, HORIZON):
        while rig.now < played.due_ns(k):
            decision = rig.tick()
        assert decision.authority == (arb.POLICY if k < HORIZON - 2 else arb.SETTLE)
        expected = make_chunk(stamp, slope=0.3).actions[k]
        np.testing.assert_allclose(decision.command, expected, atol=4e-3)
    assert decision.chunk_stamp_ns == stamp


def test_a_dead_policy_plays_to_the_chunk_end_settles_and_holds():
    rig = Rig().engage()
    rig.tick()
    chunk = make_chunk(rig.now, slope=0.5)
    rig.chunk(slope=0.5)
    seen = [rig.tick().authority for _ in range(150)]
    order = [a for i, a in enumerate(seen) if i == 0 or seen[i - 1] != a]
    assert order in ([arb.POLICY, arb.SETTLE, arb.HOLD], [arb.POLICY, arb.HOLD])
    assert rig.last.reason == "chunk ended" and not rig.last.velocity.any()
    np.testing.assert_allclose(rig.last.command, chunk.actions[-1], atol=1e-4)
    assert rig.chunk(slope=0.1) == ""
    assert rig.tick().authority == arb.POLICY


@pytest.mark.parametrize(
    "bad, reason",
    [
        (lambda c: c.actions.__setitem__((3, 2), np.nan), "not finite: fr3_joint3"),
        (lambda c: c.actions.__setitem__((3, 2), 9.0), "beyond the limit of fr3_joint3"),
    ],
)
def test_a_bad_chunk_is_dropped_and_the_previous_one_plays_on(bad, reason):
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=0.2)
    rig.tick(5)
    chunk = make_chunk(rig.now)
    bad(chunk)
    assert reason in rig.arbiter.on_chunk(chunk, rig.now)
    assert rig.arbiter.last_rejection and rig.tick().authority == arb.POLICY


def test_a_chunk_with_other_joints_is_refused():
    rig = Rig().engage()
    names = tuple(f"panda_joint{i}" for i in range(8))
    assert "the robot takes fr3_joint1" in rig.chunk(names=names)


def test_engaging_again_while_moving_does_not_jump():
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=1.0)
    rig.tick(30)
    rig.measured = rig.measured - 0.1
    rig.engage()
    rig.tick(100)
    assert rig.last.authority == arb.HOLD


def test_a_held_object_stays_gripped_over_a_reset():
    rig = Rig().engage()
    rig.tick()
    closed = make_chunk(rig.now)
    closed.actions[:, 7] = 0.0
    rig.arbiter.on_chunk(closed, rig.now)
    rig.tick(200)
    assert rig.last.command[7] == pytest.approx(0.0, abs=1e-6)
    rig.measured[7] = 0.5  # the object keeps the fingers apart
    rig.arbiter.on_state(rig.measured, rig.now, rig.now)
    rig.arbiter.reset()
    rig.frozen = True
    assert rig.tick(5).command[7] == pytest.approx(0.0, abs=1e-6)


def test_disengaged_chunks_are_refused_and_engaging_starts_at_the_measured_position():
    rig = Rig().engage()
    rig.tick()
    rig.arbiter.disengage()
    assert rig.tick().command is None and rig.chunk() == "not engaged"
    rig.measured = HOME + 0.2
    rig.engage()
    np.testing.assert_allclose(rig.tick().command[:7], HOME[:7] + 0.2)


def test_a_preview_is_what_the_next_ticks_will_command():
    rig = Rig().engage()
    rig.tick()
    rig.chunk(slope=0.4)
    rig.tick(5)
    positions, velocities = rig.arbiter.preview(rig.now, TICK_NS, 120)
    for position, velocity in zip(positions, velocities):
        decision = rig.tick()
        np.testing.assert_allclose(decision.command, position, atol=1e-12)
        np.testing.assert_allclose(decision.velocity, velocity, atol=1e-9)
    assert Rig().arbiter.preview(0, TICK_NS, 5)[0].shape == (0, 8)


number = st.floats(-10, 10) | st.sampled_from([np.nan, np.inf, 1e300])
vectors = st.lists(number, min_size=8, max_size=8).map(np.asarray)
events = st.one_of(
    st.tuples(st.just("tick"), st.integers(1, 30)),
    st.tuples(st.just("chunk"), st.floats(-3, 3), st.integers(-900, 90)),
    st.tuples(st.just("human"), vectors),
    st.tuples(st.just("near_human"), st.floats(-0.5, 0.5)),
    st.tuples(st.sampled_from(["release", "engage", "reset", "bad_chunk", "fail"])),
    st.tuples(st.just("state"), vectors),
    st.tuples(st.just("estop"), st.booleans()),
)


def send_bad_chunk(rig):
    chunk = make_chunk(rig.now)
    chunk.actions[0, 0] = np.nan
    rig.arbiter.on_chunk(chunk, rig.now)


APPLY = {
    "chunk": lambda rig, slope, age_ms: rig.arbiter.on_chunk(
        make_chunk(rig.now + age_ms * MS, slope=slope), rig.now
    ),
    "bad_chunk": send_bad_chunk,
    "human": lambda rig, target: rig.arbiter.on_human(target, rig.now),
    "near_human": lambda rig, offset: rig.arbiter.on_human(HOME + offset, rig.now),
    "release": lambda rig: rig.arbiter.on_human(None, rig.now),
    "state": lambda rig, position: rig.arbiter.on_state(position, rig.now, rig.now),
    "estop": lambda rig, pressed: rig.arbiter.on_estop(pressed),
    "fail": lambda rig: rig.arbiter.fail("test"),
    "engage": lambda rig: rig.engage(),
    "reset": lambda rig: rig.arbiter.reset(),
}


@settings(max_examples=80, deadline=None)
@given(st.lists(events, max_size=25))
def test_no_sequence_of_events_makes_a_step_beyond_velocity_or_acceleration(sequence):
    rig = Rig().engage()
    rig.tick()
    for name, *values in sequence:
        if name == "tick":
            rig.tick(values[0])
            continue
        try:
            APPLY[name](rig, *values)
        except SafetyError:
            continue
        rig.tick()
        assert rig.last.command is not None and rig.last.authority in arb.AUTHORITIES
