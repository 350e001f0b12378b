"""Noise on executed actions."""

from dataclasses import replace

import numpy as np
import pytest

from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.sim.drive.noise import ActionNoise

LIMITS = fr3_limits()
SCALE = np.linspace(0.01, 0.16, 16, dtype=np.float32)[:, None] * np.ones(8, np.float32)
SPEC = PolicySpec(
    name="noisy",
    cameras=(),
    state=tuple(Axis(name) for name in LIMITS.names),
    action=tuple(Axis(name) for name in LIMITS.names),
    horizon=16,
    dt_ns=50_000_000,
    state_norm=Affine(np.zeros(8, np.float32), np.ones(8, np.float32)),
    action_norm=Affine(np.zeros((16, 8), np.float32), SCALE),
    relative=(True,) * 7 + (False,),
)
MIDDLE = (0.5 * (LIMITS.low + LIMITS.high)).astype(np.float32)


def chunk(stamp_ms: int) -> ActionChunk:
    actions = np.tile(MIDDLE, (16, 1))
    return ActionChunk(actions, stamp_ms * 1_000_000, SPEC.dt_ns, LIMITS.names)


def test_the_noise_of_an_instant_is_the_same_in_every_chunk() -> None:
    noise = ActionNoise(1.0, SPEC, LIMITS, seed=5)
    first, later = noise.on(chunk(0)), noise.on(chunk(100))
    assert np.array_equal(first.actions[2:], later.actions[:-2])
    assert not np.array_equal(first.actions[:-1], first.actions[1:])


def test_the_seed_decides_the_noise_whatever_was_asked_before() -> None:
    once, other = ActionNoise(1.0, SPEC, LIMITS, 5), ActionNoise(1.0, SPEC, LIMITS, 6)
    twice = ActionNoise(1.0, SPEC, LIMITS, 5)
    twice.on(chunk(0))
    assert np.array_equal(once.on(chunk(400)).actions, twice.on(chunk(400)).actions)
    assert not np.array_equal(once.on(chunk(400)).actions, other.on(chunk(400)).actions)


def test_its_size_is_what_one_control_step_moves() -> None:
    noise = ActionNoise(2.0, SPEC, LIMITS, seed=0)
    added = [noise.on(chunk(800 * k)).actions - MIDDLE for k in range(60)]
    spread = np.concatenate(added).std(axis=0)
    assert spread == pytest.approx(2.0 * SCALE[0], rel=0.1)


def test_no_noise_leaves_a_chunk_alone() -> None:
    given = chunk(0)
    assert ActionNoise(0.0, SPEC, LIMITS, 0).on(given) is given


def test_noise_carries_no_action_beyond_its_limits_but_hides_no_excess_of_the_policy() -> None:
    edge = replace(chunk(0), actions=np.tile(LIMITS.high.astype(np.float32), (16, 1)))
    noisy = ActionNoise(50.0, SPEC, LIMITS, 1).on(edge).actions
    assert (noisy <= edge.actions).all() and (noisy >= LIMITS.low - 1e-6).all()
    beyond = replace(edge, actions=edge.actions + 1.0)
    assert ActionNoise(50.0, SPEC, LIMITS, 1).on(beyond).actions.max() > LIMITS.high.max()
