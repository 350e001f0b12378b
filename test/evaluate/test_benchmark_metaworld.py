"""Meta-World as an environment: its experts, its starts, its limits; recorded and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.read.body import body_in
from arfm_ros.episodes.read.said import topics_in
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import Wanted, action_chunk, read_windows
from arfm_ros.evaluate.envs.catalogue import find_venue
from arfm_ros.evaluate.envs.demonstrate import EnvironmentOptions
from arfm_ros.evaluate.envs.log import FRAME_NS
from arfm_ros.evaluate.envs.metaworld import (
    ACTION,
    DT_NS,
    METAWORLD,
    SEEN,
    STEP_M,
    MetaWorld,
    expert,
    from_package,
    tasks,
    to_package,
)
from arfm_ros.sim.expert.quality import quality

pytest.importorskip("metaworld", reason="in an environment of its own: test --benchmark")


def run_expert(world: MetaWorld, task: str, seed: int) -> tuple[bool, int]:
    act, seen = expert(task), world.reset(task, seed)
    for steps in range(1, 501):
        step = world.step(act(seen))
        seen = step.observation
        if step.over:
            return step.success, steps
    raise AssertionError("500 steps are the limit")


def test_the_suites_are_those_of_the_package() -> None:
    assert len(tasks("mt10")) == 10 and len(tasks("mt25")) == 25 and len(tasks("")) == 50
    assert tasks("push") == tasks("push-v3") == ("push-v3",)
    with pytest.raises(ConfigError, match="has no task 'juggle', needs mt10, mt25, mt50 or"):
        tasks("juggle")
    assert find_venue("metaworld:push", ("reach",)).tasks == ("push-v3", "reach-v3")


@pytest.mark.parametrize("task", ["reach-v3", "drawer-close-v3", "window-open-v3"])
def test_experts_succeed_through_our_actions(task: str) -> None:
    world = MetaWorld(SEEN)
    good = [run_expert(world, task, seed)[0] for seed in (0, 1, 1_000_003)]
    world.close()
    assert all(good)


def test_a_start_depends_on_the_seed_only_and_is_the_package_s() -> None:
    import metaworld

    world = MetaWorld(SEEN)
    one, other, again = (world.reset("push-v3", seed).state for seed in (3, 4, 3))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    own = metaworld.ALL_V3_ENVIRONMENTS["push-v3"]()
    own.set_task(metaworld.MT1("push-v3", seed=0).train_tasks[3])
    assert np.allclose(own.reset()[0], one, atol=1e-6)
    world.close()


def test_actions_have_an_inverse_and_are_limited() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        raw = rng.uniform(-1, 1, 4)
        assert np.allclose(to_package(from_package(raw)), raw)
    assert np.allclose(to_package(np.array([9.0, -9.0, 0.0, 5.0])), [1.0, -1.0, 0.0, -1.0])
    assert np.allclose(from_package(np.array([1.0, 0.0, 0.0, 1.0])), [STEP_M, 0.0, 0.0, 0.0])
    world = MetaWorld(("hand_x", "hand_y", "hand_z", "gripper"))
    start = world.reset("reach-v3", 0).state
    for _ in range(40):
        step = world.step(np.array([0.0, 0.0, STEP_M, 0.0]))
    assert step.observation.state[2] > start[2] + 0.05 and step.observation.state[3] < start[3]
    assert step.observation.stamp_ns == 40 * DT_NS
    world.close()


def test_pictures_are_upright_and_show_the_arm() -> None:
    world = MetaWorld(("hand_x",), (("corner2", 96, 128),))
    seen = world.reset("reach-v3", 0)
    first = seen.images["corner2"].astype(int)
    for _ in range(30):
        moved = world.step(np.array([STEP_M, 0.0, 0.0, 1.0])).observation
    last = moved.images["corner2"].astype(int)
    assert (seen.images["corner2"] == first).all()  # it was looked at in time
    world.step(np.array([STEP_M, 0.0, 0.0, 1.0]))
    assert (moved.images["corner2"] == last).all()
    missed = world.step(np.array([STEP_M, 0.0, 0.0, 1.0])).observation
    world.step(np.array([STEP_M, 0.0, 0.0, 1.0]))
    with pytest.raises(LookupError, match="camera corner2 was not looked at before the world"):
        _ = missed.images["corner2"]
    assert first.shape == (96, 128, 3) and first.std() > 20
    assert (np.abs(first - last).max(axis=2) > 30).mean() > 0.005, "nothing moved"
    world.close()


@pytest.mark.parametrize("name", ["full", "mixed", "segments"])
def test_a_recorded_demonstration_gives_back_what_was_seen_and_done(
    name: str, tmp_path: Path
) -> None:
    size = (64, 96)
    cameras = {"corner": size} if name == "full" else {}  # drawing is slow without a GPU
    options = EnvironmentOptions("metaworld", quality(name), [(c, *size) for c in cameras])
    good = options.open().record("drawer-close-v3", 7, tmp_path / "one")
    reader = EpisodeReader(tmp_path / "one")
    label, body = reader.label(), body_in(reader)
    assert label["success"] == good and label["task"] == "drawer-close-v3"
    assert body is not None and body.dt_ns == DT_NS and body.axes.action == ACTION
    wanted = Wanted(
        cameras, body.axes.state_names, body.axes.action_names, DT_NS,
        topics=topics_in(reader),
    )  # fmt: skip
    arrays = read_windows(reader, wanted)
    assert arrays.instruction == "push and close a drawer" and len(arrays.state) >= 10
    world = MetaWorld(body.axes.state_names)
    seen = world.reset("drawer-close-v3", 7)
    every = FRAME_NS // DT_NS if cameras else 1  # pictures are taken less often than it acts
    for k in range(20 // every):  # the same actions lead through the same states
        assert np.allclose(arrays.state[k], seen.state, atol=1e-5), k
        for action in action_chunk(arrays, k, every, DT_NS).astype(np.float64):
            seen = world.step(action).observation
    world.close()
    if name == "segments":
        assert label["poor_ns"]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match="does not sense elbow, left; it has hand_x"):
        MetaWorld(("hand_x", "elbow"), (("left", 64, 64),))
    from arfm_ros.bringup import find_bundle
    from arfm_ros.engines import load_bundle

    with pytest.raises(ConfigError, match="actions are fr3_joint1.* Meta-World takes"):
        METAWORLD.open(load_bundle(find_bundle("")).spec)
