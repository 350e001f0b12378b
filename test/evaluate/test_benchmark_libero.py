"""LIBERO as an environment: its suites, its starts, our experts, checkpoints of its own data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.episodes.read.body import body_in
from arfm_ros.episodes.read.said import topics_in
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import Wanted, read_windows
from arfm_ros.evaluate.envs.catalogue import find_venue
from arfm_ros.evaluate.envs.demonstrate import EnvironmentOptions
from arfm_ros.evaluate.envs.libero import (
    ACTION,
    DT_NS,
    LIBERO,
    RAW,
    SEEN,
    Libero,
    expert_of,
    tasks,
    to_package,
)

pytest.importorskip("libero", reason="in an environment of its own: test --benchmark libero")
TASK = "libero_object_2"


@pytest.fixture(scope="module")
def world() -> Iterator[Libero]:
    opened = Libero(SEEN)
    yield opened
    opened.close()


def test_the_suites_are_the_published_ones() -> None:
    assert [len(tasks(f"libero_{name}")) for name in ("spatial", "object", "goal", "10")] == [
        10
    ] * 4
    assert len(tasks("libero_90")) == 90 and len(tasks("")) == 40
    assert tasks("libero_10_swap") == tuple(f"libero_10_swap_{i}" for i in range(10))
    assert find_venue("libero_object:3").tasks == ("libero_object_3",)
    with pytest.raises(ConfigError, match="no suite 'libero_moon', needs one of libero_spatial"):
        tasks("libero_moon")
    with pytest.raises(ConfigError, match="10 tasks, 0 to 9; there is no 10"):
        tasks("libero_object_10")


def test_a_start_depends_on_the_seed_only(world: Libero) -> None:
    one, other, again = (world.reset(TASK, seed).state for seed in (3, 4, 3))
    # settling leaves tenths of a millimetre: the solver begins where it ended
    assert np.allclose(one, again, atol=5e-4) and np.abs(one - other)[8:].max() > 1e-3
    assert np.allclose(world.reset(TASK, 53).state, one, atol=5e-4)  # of fifty


def succeeds(world: Libero, task: str, seed: int, said: str) -> bool:
    act, seen = expert_of(task), world.reset(task, seed)
    assert said in seen.instruction
    for _ in range(280):
        step = world.step(act(seen))
        seen = step.observation
        if step.over:
            break
    return step.success


def test_the_expert_succeeds_within_the_published_limit(world: Libero) -> None:
    said = "pick up the salad dressing and place it in the basket"
    assert succeeds(world, TASK, 1, said)


def test_the_expert_takes_a_bowl_out_of_a_drawer(world: Libero) -> None:
    # four times of five: the walls of the drawer are close
    found = [succeeds(world, "libero_spatial_4", n, "in the top drawer") for n in range(3)]
    assert any(found)


def test_actions_are_limited_and_lead_where_they_say(world: Libero) -> None:
    assert np.allclose(
        to_package(np.array([9.0, -9.0, 0, 0, 0, 9.0, 0.0])), [1, -1, 0, 0, 0, 1, 1]
    )
    start = world.reset(TASK, 0).state
    for _ in range(15):
        seen = world.step(np.array([0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 1.0])).observation
    moved = seen.state[:3] - start[:3]
    assert moved[1] > 0.05 and np.abs(moved[[0, 2]]).max() < 0.05
    assert seen.stamp_ns == 15 * DT_NS


def spec_of(state: tuple[str, ...], action: tuple[Axis, ...]) -> PolicySpec:
    from arfm_ros.bringup import find_bundle
    from arfm_ros.core.values.normalize import Affine
    from arfm_ros.engines import load_bundle

    base = load_bundle(find_bundle("")).spec
    size = len(action)
    return replace(
        base, cameras=(), state=tuple(Axis(name, "") for name in state), action=action,
        dt_ns=DT_NS, relative=(False,) * size, instructions={},
        state_norm=Affine(np.zeros(len(state), np.float32), np.ones(len(state), np.float32)),
        action_norm=Affine(np.zeros((base.horizon, size), np.float32),
                           np.ones((base.horizon, size), np.float32)),
    )  # fmt: skip


def test_a_checkpoint_of_the_published_data_speaks_its_own_numbers() -> None:
    theirs = spec_of(tuple(f"s{i}" for i in range(RAW)), tuple(Axis(f"a{i}") for i in range(7)))
    opened = LIBERO.open(theirs)
    start = opened.reset(TASK, 0).state
    assert start.shape == (RAW,)
    for _ in range(15):
        seen = opened.step(np.array([0.0, 0.4, 0.0, 0.0, 0.0, 0.0, -1.0])).observation
    assert 0.05 < seen.state[1] - start[1] < 0.15  # as far as steps of 0.02 m of ours
    opened.close()
    with pytest.raises(ConfigError, match="has 3 states and 7 actions; LIBERO takes step_x"):
        LIBERO.open(spec_of(("a", "b", "c"), tuple(Axis(f"a{i}") for i in range(7))))


def test_a_recorded_demonstration_tells_what_it_is(tmp_path: Path) -> None:
    options = EnvironmentOptions("libero", cameras=(("agentview", 128, 128),))
    assert options.open().record(TASK, 1, tmp_path / "one")
    reader = EpisodeReader(tmp_path / "one")
    body = body_in(reader)
    assert body is not None and body.dt_ns == DT_NS and body.axes.action == ACTION
    wanted = Wanted({"agentview": (128, 128)}, body.axes.state_names, body.axes.action_names,
                    DT_NS, topics=topics_in(reader))  # fmt: skip
    arrays = read_windows(reader, wanted)
    assert arrays.success and arrays.task == TASK and len(arrays.state) > 50
    picture = arrays.images["agentview"][0].astype(int)
    assert picture.std() > 20


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(ConfigError, match="does not sense elbow; it has tool_x"):
        Libero(("tool_x", "elbow"))
    with pytest.raises(
        ConfigError, match="no expert of libero_goal_0: those of libero_object and"
    ):
        expert_of("libero_goal_0")
