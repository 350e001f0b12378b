"""Laws of the chunk player: time-indexed, smooth, and the newest observation wins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arfm_ros.core.chunks.player import NS, ChunkPlayer, Fade, Ramp, Spline
from arfm_ros.core.safety.limits import Target
from arfm_ros.core.values.data import ActionChunk

DT_NS = 50_000_000
TICK_NS = 10_000_000
MS = 1_000_000
NAMES = ("a", "b")


def chunk(actions, stamp_ns=0):
    return ActionChunk(np.asarray(actions, np.float32), stamp_ns, DT_NS, NAMES)


def ramp(start, slope_per_s, stamp_ns, horizon=16):
    """A straight line through `start` at `stamp_ns`."""
    k = np.arange(1, horizon + 1)[:, None] * DT_NS / NS
    return chunk(np.asarray(start) + k * np.asarray(slope_per_s), stamp_ns)


def test_every_action_is_reached_when_it_is_due():
    rng = np.random.default_rng(1)
    player = ChunkPlayer(blend_ns=0)
    given_chunk = chunk(rng.normal(size=(16, 2)))
    assert player.add(given_chunk, 0) == ""
    for k in range(16):
        at = player.command(given_chunk.due_ns(k)).position
        np.testing.assert_allclose(at, given_chunk.actions[k], atol=1e-6)


def test_a_chunk_ends_at_rest_and_stays_at_its_end():
    player = ChunkPlayer()
    moving = ramp((0, 0), (1, -1), 0)
    player.add(moving, 0)
    for late_ns in (0, 1, NS, 1000 * NS):
        target = player.command(moving.end_ns + late_ns)
        assert target.ended and not target.velocity.any()
        np.testing.assert_allclose(target.position, moving.actions[-1], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 20))
def test_the_path_stays_within_its_neighbouring_actions(seed, horizon):
    rng = np.random.default_rng(seed)
    path = Spline(rng.normal(size=(horizon, 2)), rng.normal(size=2), 0, DT_NS)
    for t in range(0, path.end_ns, 7_000_000):
        at, k = path.at(t), t // DT_NS
        pair = path.knots[k : k + 2]
        assert (at.position >= pair.min(axis=0) - 1e-12).all()
        assert (at.position <= pair.max(axis=0) + 1e-12).all()
        assert (at.low <= path.knots[k + 1 :].min(axis=0) + 1e-12).all()
        assert (at.high >= path.knots[k + 1 :].max(axis=0) - 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_position_and_velocity_are_continuous_and_agree(seed):
    rng = np.random.default_rng(seed)
    path = Spline(rng.normal(size=(6, 2)), rng.normal(size=2), 0, DT_NS)
    h = 1_000
    for t in range(DT_NS, path.end_ns, DT_NS):
        before, after = path.at(t - 1), path.at(t + 1)
        np.testing.assert_allclose(before.position, after.position, atol=1e-5)
        np.testing.assert_allclose(before.velocity, after.velocity, atol=1e-3)
    for t in rng.integers(h, path.end_ns - h, 20):
        slope = (path.at(t + h).position - path.at(t - h).position) / (2 * h / NS)
        np.testing.assert_allclose(path.at(int(t)).velocity, slope, atol=0.05)


def test_slow_inference_skips_to_the_newest_observation():
    player = ChunkPlayer()
    player.add(ramp((0, 0), (1, 1), 0), 10_000_000)
    newest = ramp((5, 5), (1, 1), 300_000_000)
    assert player.add(newest, 550_000_000) == ""
    # five of its actions are already due: they are skipped, not replayed
    target = player.command(700_000_000)
    np.testing.assert_allclose(target.position, (5.4, 5.4), atol=1e-6)


def test_an_older_observation_arriving_late_is_ignored():
    player = ChunkPlayer()
    player.add(ramp((1, 1), (0, 0), 200_000_000), 250_000_000)
    refusal = player.add(ramp((9, 9), (0, 0), 100_000_000), 260_000_000)
    assert "not newer" in refusal
    np.testing.assert_allclose(player.command(NS).position, (1, 1))


def test_a_chunk_that_is_over_is_refused_and_the_one_in_force_stays():
    player = ChunkPlayer()
    player.add(ramp((1, 1), (0, 0), 0, horizon=100), 0)
    assert "over 200 ms before" in player.add(ramp((9, 9), (0, 0), NS, horizon=4), 1_400_000_000)
    np.testing.assert_allclose(player.command(1_400_000_000).position, (1, 1))


def test_a_stamp_from_the_future_is_refused():
    assert "clocks disagree" in ChunkPlayer().add(ramp((1, 1), (0, 0), NS), 0)


def test_nothing_plays_before_the_first_chunk_and_after_clear():
    player = ChunkPlayer()
    assert player.command(0) is None
    player.add(ramp((1, 1), (0, 0), 0), 0)
    player.clear(5)
    assert player.command(10) is None and player.chunk is None
    assert "older than the hand-over" in player.add(ramp((1, 1), (0, 0), 4), 10)
    assert player.add(ramp((1, 1), (0, 0), 5), 10) == ""


def test_a_hand_over_has_no_jump_and_the_difference_is_gone_after_the_blend():
    player = ChunkPlayer(blend_ns=100_000_000)
    player.add(ramp((0, 0), (1, -1), 0), 0)
    swap = 400_000_000
    old = player.command(swap)
    new = ramp((1, 1), (0.5, 0.5), 350_000_000)
    player.add(new, swap)
    at = player.command(swap)
    np.testing.assert_allclose(at.position, old.position, atol=1e-6)
    np.testing.assert_allclose(at.velocity, old.velocity, atol=1e-6)
    done = player.command(swap + 100_000_000).position
    np.testing.assert_allclose(done, new.actions[2], atol=1e-6)


def test_the_first_chunk_starts_from_the_command_in_force():
    player = ChunkPlayer()
    in_force = Target(np.array([0.3, 0.1]), np.zeros(2))
    player.add(ramp((0, 0), (0, 0), 0), 100_000_000, in_force)
    np.testing.assert_allclose(player.command(100_000_000).position, in_force.position)


def test_a_fade_starts_with_its_offset_and_rate_and_ends_at_rest():
    fade = Fade(np.array([1.0, -2.0]), np.array([0.5, 3.0]), 0, NS)
    np.testing.assert_allclose(fade.at(0)[0], fade.offset)
    np.testing.assert_allclose(fade.at(0)[1], fade.rate)
    for value in fade.at(NS - 1):
        np.testing.assert_allclose(value, 0.0, atol=1e-7)
    assert not np.any(fade.at(NS))


@pytest.mark.parametrize("horizon", [1, 2])
def test_the_shortest_chunks_play(horizon):
    player = ChunkPlayer(blend_ns=0)
    player.add(ramp((1, 1), (1, 1), 0, horizon), 0)
    assert np.isfinite(player.command(DT_NS // 2).position).all()


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("dt_ns", [1, MS, 10 * MS, 50 * MS])
def test_a_path_shorter_than_its_ramp_ends_at_its_last_action(horizon, dt_ns):
    actions = np.arange(1, horizon + 1, dtype=np.float64)[:, None]
    ramp_ns = 400 * MS
    spline = Spline(actions, np.zeros(1), ramp_ns // 2, dt_ns, Ramp(ramp_ns // 2, ramp_ns))
    at = [spline.at(now_ns) for now_ns in range(-MS, 2 * ramp_ns, MS)]
    assert at[-1].ended and at[-1].position[0] == horizon
    assert all(0.0 <= one.position[0] <= horizon for one in at)
