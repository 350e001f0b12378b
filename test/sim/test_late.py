"""Pictures as old as contexts make them, beside the state of now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.history import History
from arfm_ros.engines import load_bundle
from arfm_ros.sim.arms.contract import robot_of
from arfm_ros.sim.drive.driver import DriverConfig, PolicyDriver
from arfm_ros.sim.drive.late import LateSight
from arfm_ros.sim.drive.senses import Senses
from arfm_ros.sim.world import World

SPEC = load_bundle(Path(__file__).resolve().parents[2] / "models" / "fr3_tabletop").spec
MS = 1_000_000


@pytest.fixture(scope="module")
def senses() -> Iterator[tuple[Senses, World]]:
    """Cameras whose pictures are the tick at which they were taken."""
    world = World(robot_of(SPEC.action_names, ""))
    made = Senses(SPEC, world, (24, 32))
    made.alter = lambda camera, picture: np.full_like(picture, world.time_ns // (10 * MS))
    yield made, world
    made.close()


def test_a_chunk_sees_the_newest_finished_context_and_the_state_of_now(
    senses: tuple[Senses, World],
) -> None:
    made, world = senses
    late = LateSight(made, SPEC, context_ms=30)
    began, seen = world.time_ns, []
    assert not late.ready and began % (30 * MS) == 0
    for _ in range(13):
        late.look(world.time_ns, "lift")
        if late.ready:
            one = late.observe(world.time_ns, "lift")
            assert one.stamp_ns == world.time_ns
            assert np.array_equal(one.state, world.measured().astype(np.float32))
            seen.append((world.time_ns // (10 * MS), int(one.images["scene"].max())))
        world.step(10)
    ages = [now - taken for now, taken in seen]
    assert ages == [3, 4, 5] * 3 + [3]  # in ticks: one to two contexts


def test_without_a_context_s_time_pictures_are_of_now(senses: tuple[Senses, World]) -> None:
    made, world = senses
    late = LateSight(made, SPEC, context_ms=0)
    late.look(world.time_ns, "lift")
    assert late.ready
    one = late.observe(world.time_ns, "lift")
    assert one.images["scene"].max() == world.time_ns // (10 * MS)


@pytest.mark.parametrize("wrong", [-10, 25])
def test_a_time_that_is_none_is_refused(senses: tuple[Senses, World], wrong: int) -> None:
    with pytest.raises(ConfigError, match="needs a multiple of 10 ms"):
        LateSight(senses[0], SPEC, wrong)


def test_a_policy_with_a_history_is_refused(senses: tuple[Senses, World]) -> None:
    with pytest.raises(ConfigError, match="needs a policy without"):
        LateSight(senses[0], replace(SPEC, history=History(2, 50 * MS)), 30)


def test_a_camera_that_hardly_changes_shows_the_picture_before(
    senses: tuple[Senses, World],
) -> None:
    made, world = senses
    made.forget()
    begin, now, before = world.time_ns // (10 * MS), [], made.views.reused
    made.views.limit = 1.5  # a tick is a grey level here
    for _ in range(6):
        now.append(int(made.observe("lift").images["wrist"].max()) - begin)
        world.step(10)
    made.views.limit = 0.0
    assert now == [0, 0, 2, 2, 4, 4]
    assert made.views.reused - before == 3 * len(SPEC.cameras)
    made.forget()


def test_reuse_of_views_is_checked_and_counted() -> None:
    world = World(robot_of(SPEC.action_names, ""))
    with pytest.raises(ConfigError, match="--reuse-views is 300, needs 0 to 255 grey levels"):
        PolicyDriver(None, SPEC, world, DriverConfig(reuse_views=300.0))
    two = replace(SPEC, history=History(2, 50 * MS))
    with pytest.raises(ConfigError, match="sees 2 observations"):
        PolicyDriver(None, two, world, DriverConfig(reuse_views=1.0))
