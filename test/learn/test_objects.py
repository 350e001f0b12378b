"""Object poses as a policy's state: the same numbers from a recording and from the simulator."""

from __future__ import annotations

from pathlib import Path

import fr3_rig
import numpy as np
import pytest
from learn_rig import NAMES, silent, write_episode

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, ConfigError, EngineError, EpisodeError
from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.episodes.windows import read_episode
from arfm_ros.evaluate.collect import CollectOptions, Collector
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.running import Running
from arfm_ros.learn.data import frames as learn_frames
from arfm_ros.learn.data.dataset import fit_spec
from arfm_ros.learn.loop.begin import Plan, start
from arfm_ros.learn.loop.checkpoint import load_checkpoint
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import ModelConfig
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.objects import object_of, object_state
from arfm_ros.sim.drive.driver import DriverConfig, PolicyDriver
from arfm_ros.sim.record.demos import Demonstrator, DemoOptions
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.world import World
from arfm_ros.study import rollouts
from arfm_ros.study.rollouts import TorchPolicy, run_batch

OBJECTS = ("cube_x", "cube_y", "cube_z", "cube_yaw", "marker_x", "bin_z")
MODEL = ModelConfig((), OBJECTS, len(NAMES) + len(OBJECTS), dim=32, blocks=1)
HOME = np.asarray(fr3.HOME)[None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record two demonstrations of physics only."""
    root = tmp_path_factory.mktemp("blind")
    demonstrator = Demonstrator(DemoOptions(cameras=()))
    for seed in (3, 4):
        assert demonstrator.record("reach", seed, root / f"reach_{seed}")
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a network without cameras for a few steps."""
    out = tmp_path_factory.mktemp("run")
    train = TrainConfig(steps=8, batch=16, threads=1, precision="fp32", held_out=0.0)
    start(Plan((data,), out, train, model=MODEL), say=silent)
    return out


def pose(*position: float, yaw: float = 0.0) -> np.ndarray:
    return np.array([[*position, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)]])


def test_an_object_is_seen_from_the_tool_with_its_own_yaw() -> None:
    tool = fr3_rig.forward(HOME[0])[0]
    seen = object_state(
        OBJECTS[:4], HOME, NAMES, {"cube": pose(*(tool + [0.1, 0.2, -0.3]), yaw=0.7)}
    )
    assert np.allclose(seen, [[0.1, 0.2, -0.3, 0.7]], atol=1e-6)


def test_an_object_that_is_not_there_reads_0() -> None:
    assert not object_state(
        OBJECTS[:4], HOME, NAMES, {"cube": pose(0.2, 0.0, -3.0, yaw=1.0)}
    ).any()


def test_the_train_verb_makes_a_policy_without_cameras(data: Path, tmp_path: Path) -> None:
    words = ("--steps", "1", "--batch", "8", "--threads", "1", "--no-images")
    assert main(["train", str(data), "--out", str(tmp_path), *words]) == 0
    spec = load_checkpoint(tmp_path).spec
    assert not spec.cameras and "cube_yaw" in spec.state_names


def test_unknown_objects_and_axes_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no pose of cup; there are poses of: cube"):
        object_state(["cup_x"], HOME, NAMES, {"cube": pose(0.0, 0.0, 0.0)})
    with pytest.raises(ConfigError, match="x, y, z, yaw"):
        object_of("cube_roll")
    with pytest.raises(ConfigError, match="state has 6 values, needs 6 of objects and"):
        ModelConfig((), OBJECTS, len(OBJECTS))


def test_a_recording_tells_what_the_simulator_shows_the_policy(data: Path) -> None:
    arrays = read_episode(data / "reach_3", {}, NAMES, NAMES, 50_000_000, OBJECTS)
    assert arrays.state.shape == (len(arrays.stamp_ns), len(NAMES) + len(OBJECTS))
    world = World()
    text = make_task("reach").reset(world, np.random.default_rng(3))
    driver = PolicyDriver(None, spec_of(data), world)
    driver.start(text, 3)
    assert np.allclose(driver.observe().state, arrays.state[0], atol=2e-5)  # recorded to 1e-5
    assert not arrays.images and np.diff(arrays.stamp_ns).max() == 50_000_000


@pytest.mark.parametrize("name", ["ur5e", "iiwa14"])
def test_objects_are_seen_from_the_first_arm_of_any_robot(tmp_path: Path, name: str) -> None:
    robot = load_robot(name)
    options = DemoOptions(cameras=(), robot=name, limit_s=1.0)
    Demonstrator(options).record("reach", 3, tmp_path / "one")
    seen = ("marker_x", "marker_z")
    arrays = read_episode(tmp_path / "one", {}, robot.names, robot.names, 50_000_000, seen)
    world = World(robot)
    make_task("reach").reset(world, np.random.default_rng(3))
    marker, tool = world.object_pose("marker")[0], world.tool_pose()[0]
    expected = (marker - tool)[[0, 2]]
    assert np.allclose(arrays.state[0, len(robot.names) :], expected, atol=1e-3)


def spec_of(data: Path) -> PolicySpec:
    config = learn_frames.FramesConfig(cameras=(), objects=OBJECTS)
    frames = learn_frames.load_frames([data], data / "cache", config)
    return fit_spec(frames, config, np.arange(len(frames)))


def test_an_episode_without_poses_says_what_is_missing(tmp_path: Path) -> None:
    bare = write_episode(tmp_path / "bare", 0)
    with pytest.raises(EpisodeError, match="has no task/state"):
        read_episode(bare, {}, NAMES, NAMES, 50_000_000, OBJECTS)
    silent_task = write_episode(tmp_path / "task", 0, progress=[0.1] * 12)
    with pytest.raises(EpisodeError, match="no pose of bin, cube, marker"):
        read_episode(silent_task, {}, NAMES, NAMES, 50_000_000, OBJECTS)


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    assert export_bundle(run, folder, "blind", 1, Running("none"), say=silent).passed
    return folder


def test_what_it_drives_is_recorded_without_cameras(exported: Path, tmp_path: Path) -> None:
    Collector(CollectOptions(exported)).record("reach", 3, tmp_path / "one")
    arrays = read_episode(tmp_path / "one", {}, NAMES, NAMES, 50_000_000, OBJECTS)
    assert arrays.task == "reach" and "policy" in arrays.authority and len(arrays.state) > 5


def test_it_fits_a_robot_that_reports_the_objects(exported: Path) -> None:
    bundle = load_bundle(exported)
    bundle.check_robot(NAMES, [], 0.05, OBJECTS)
    with pytest.raises(BundleError, match="states cube_yaw unknown, robot has fr3_joint1"):
        bundle.check_robot(NAMES, [], 0.05, [name for name in OBJECTS if name != "cube_yaw"])


def test_torch_in_lanes_computes_what_the_exported_bundle_does(run: Path, exported: Path) -> None:
    policy, bundle = TorchPolicy(load_checkpoint(run)), load_policy(exported, threads=1)
    seen = [bundle.spec.example(seed) for seed in range(3)]
    noise = np.random.default_rng(0).standard_normal((3, 16, 8)).astype(np.float32)
    for observation, x, chunk in zip(seen, noise, policy.chunks(seen, noise)):
        same = bundle.sample(bundle.encode(observation), x)
        assert np.abs(same.actions - chunk.actions).max() < 1e-5
        assert (same.names, same.dt_ns, same.stamp_ns) == (chunk.names, chunk.dt_ns, 0)


def test_episodes_in_lanes_come_back_in_the_order_asked_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "LANES", 2)
    jobs = [("reach", 7), ("lift", 8), ("reach", 9)]
    results = run_batch(TorchPolicy(load_checkpoint(run)), jobs, DriverConfig(), limit_s=0.6)
    assert [(r.task, r.seed) for r in results] == jobs
    assert all(r.chunks == 6 and r.step_ratio > 0 for r in results)  # one each 100 ms


def test_a_due_observation_without_anybody_to_answer_is_an_error(data: Path) -> None:
    world = World()
    driver = PolicyDriver(None, spec_of(data), world)
    driver.start(make_task("reach").reset(world, np.random.default_rng(0)), 0)
    assert driver.due and isinstance(driver.observe(), Observation)
    with pytest.raises(EngineError, match="call take"):
        driver.act()
