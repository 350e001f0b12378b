"""Tasks, their starts, and the scripted experts that solve them."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.expert.quality import draw_flaws, quality
from arfm_ros.sim.expert.scripted import Expert
from arfm_ros.sim.record.demos import drive
from arfm_ros.sim.tasks import TASKS, make_task
from arfm_ros.sim.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def play(world: World, name: str, seed: int, expert: Expert) -> bool:
    """Let the expert drive until success or the time limit."""
    task = make_task(name)
    task.reset(world, np.random.default_rng(seed))
    before = world.measured()
    while world.time_ns < task.time_limit_s * 1e9:
        command = expert.act(world)
        drive(world, command, before, 10)
        before = command
        if task.success(world):
            return True
    return False


@pytest.mark.parametrize("name", TASKS)
def test_expert_solves_its_task(world: World, name: str) -> None:
    assert all(play(world, name, seed, Expert(name)) for seed in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_expert_succeeds_in_98_of_100(world: World, name: str) -> None:
    assert sum(play(world, name, seed, Expert(name)) for seed in range(100)) >= 98


@pytest.mark.parametrize("name", TASKS)
def test_same_seed_gives_the_same_start(world: World, name: str) -> None:
    task = make_task(name)
    starts = []
    for seed in (5, 5, 6):
        text = task.reset(world, np.random.default_rng(seed))
        starts.append((text, world.data.qpos.copy(), world.data.mocap_pos.copy()))
    assert starts[0][0] == starts[1][0]
    assert np.array_equal(starts[0][1], starts[1][1])
    assert np.array_equal(starts[0][2], starts[1][2])
    assert not np.array_equal(starts[0][1], starts[2][1])


@pytest.mark.parametrize("name", TASKS)
def test_a_start_is_not_a_success_and_has_little_progress(world: World, name: str) -> None:
    task = make_task(name)
    for seed in range(5):
        task.reset(world, np.random.default_rng(seed))
        assert not task.success(world)
        assert 0.0 <= task.progress(world) < 0.9


@pytest.mark.slow
def test_a_limp_hand_fails_to_lift(world: World) -> None:
    rng = np.random.default_rng(0)
    flaws = draw_flaws(quality("poor"), rng)
    while flaws.limp_from_ns is None:
        flaws = draw_flaws(quality("poor"), rng)
    assert flaws.failing
    assert not play(world, "lift", 0, Expert("lift", flaws))


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="reach, lift, push, place"):
        make_task("juggle")
    with pytest.raises(ConfigError, match="full, good, mixed, poor"):
        quality("perfect")
