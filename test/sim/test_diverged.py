"""Physics that diverges: no world goes on from another pose without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learn_rig import spec

from arfm_ros.bringup import find_bundle
from arfm_ros.core.errors import SimulationError
from arfm_ros.engines import load_policy
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.evaluate.envs.tabletop import Tabletop
from arfm_ros.evaluate.rollout import Rollouts
from arfm_ros.sim.record.demos import DemoOptions
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.world import World

THROWN_M_S = 1e12  # beyond what the engine takes for a number


def throw(world: World) -> None:
    """Give the cube a speed that no contact has, as one that is squeezed too hard gets it."""
    joint = world.model.body("cube").dofadr[0]
    world.data.qvel[joint] = THROWN_M_S


@pytest.fixture
def thrown_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let any world throw its cube once it has been stepped so many times since its reset."""

    def after(count: int) -> None:
        before, reset, made = World.step, World.reset, dict[int, int]()

        def step(self: World, steps: int = 1) -> None:
            made[id(self)] = made.get(id(self), 0) + 1
            if made[id(self)] == count:
                throw(self)
            before(self, steps)

        def again(self: World, *args: Any, **kwargs: Any) -> None:
            made[id(self)] = 0
            reset(self, *args, **kwargs)

        monkeypatch.setattr(World, "step", step)
        monkeypatch.setattr(World, "reset", again)

    return after


@pytest.mark.parametrize("robot", ["fr3", "ur5e"])
def test_the_world_says_what_diverged_and_goes_on_after_a_reset(robot: str) -> None:
    from arfm_ros.robots.files.load import load_robot

    world = World(load_robot(robot))
    make_task("lift").reset(world, np.random.default_rng(0))
    world.step(300)
    at = world.measured()
    throw(world)
    with pytest.raises(SimulationError, match=r"diverged after 0\.3\d+ s at the body 'cube'"):
        world.step(100)
    with pytest.raises(SimulationError):
        world.step(1)  # nothing but a reset helps
    np.testing.assert_allclose(world.measured(), at, atol=0.05)  # the arm is where it was
    world.reset()
    world.step(300)
    assert np.isfinite(world.measured()).all() and world.time_ns == 300_000_000


def test_a_rollout_ends_as_a_failure_that_says_so(thrown_after: Any) -> None:
    thrown_after(20)
    policy = load_policy(find_bundle(""), threads=1)
    rollouts = Rollouts(policy, policy.spec)
    rollouts.begin("lift", 3)
    while (result := rollouts.tick()) is None:
        pass
    assert result.diverged and not result.success and result.seconds < 0.5
    rollouts.begin("lift", 4)  # the next one has a world again
    assert rollouts.tick() is None
    rollouts.close()


def test_a_demonstration_is_kept_as_a_failure(thrown_after: Any, tmp_path: Path) -> None:
    thrown_after(40)
    demonstrator = DemoOptions(height=24, width=32).open()
    assert not demonstrator.record("lift", 5, tmp_path / "one")
    assert EpisodeReader(tmp_path / "one").label()["success"] is False


def test_an_environment_s_episode_is_over(thrown_after: Any) -> None:
    thrown_after(12)
    table = Tabletop(spec(), size=(24, 32))
    table.reset("lift", 0)
    steps = [table.step(table._asked) for _ in range(3)]
    assert [one.over for one in steps] == [False, False, True] and not steps[-1].success
    table.close()
