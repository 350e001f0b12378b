"""A robot that another stack recorded: its bags train a policy that says what the robot did."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_bag_rig import ARM, BEGIN_NS, TOPICS, knuckle, wanted, write_bag
from learn_rig import SMALL, plan, silent

from arfm_ros.cli import train as verb
from arfm_ros.core.data import Observation
from arfm_ros.core.errors import ConfigError
from arfm_ros.engines import load_policy
from arfm_ros.episodes.read.topic_map import read_topic_map
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import EpisodeArrays, Wanted, action_chunk, read_windows
from arfm_ros.export.bundle import export_bundle
from arfm_ros.learn.session import start
from arfm_ros.robots.description import load_robot

UR5E = load_robot("ur5e")
NAMES = (*ARM, "gripper")
DT_NS = 50_000_000
GOALS = (0.5, 0.45, 0.55)


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bags")
    for n, goal in enumerate(GOALS):
        write_bag(root / f"bag_{n}", goal)
    return root


def read(folder: Path, topics: str = TOPICS, size: tuple[int, int] = (36, 64)) -> EpisodeArrays:
    mapped = read_topic_map(topics, UR5E)
    return read_windows(
        EpisodeReader(folder), Wanted({"eye": size}, NAMES, NAMES, DT_NS, topics=mapped)
    )


def told(t_s: np.ndarray, goal: float) -> np.ndarray:
    """What was commanded [N, 7], the gripper as an opening."""
    return np.array([[*wanted(t, goal), 1 - knuckle(t) / 0.8] for t in t_s])


def test_joints_in_another_order_and_the_knuckle_become_the_robots_axes(bags: Path) -> None:
    arrays = read(bags / "bag_0")
    t_s = (arrays.stamp_ns - BEGIN_NS) / 1e9
    assert np.allclose(np.diff(t_s), 1 / 15, atol=1e-6)
    lag = np.maximum(t_s - 0.01, 0.0)
    np.testing.assert_allclose(arrays.state[:, :6], told(lag, GOALS[0])[:, :6], atol=4e-3)
    assert set(np.unique(arrays.state[:, 6])) == {0.0, 1.0} and arrays.state[0, 6] == 1.0
    assert arrays.success is True
    assert (arrays.task, arrays.instruction) == ("press", "press the button")


def test_trajectories_and_arrays_are_one_command_at_every_instant(bags: Path) -> None:
    arrays = read(bags / "bag_0")
    for i in (0, 5, 8):
        due_s = (arrays.stamp_ns[i] - BEGIN_NS) / 1e9 + 0.05 * np.arange(1, 11)
        chunk = action_chunk(arrays, i, 10, DT_NS)
        np.testing.assert_allclose(chunk[:, :6], told(due_s, GOALS[0])[:, :6], atol=1e-3)
        clear = np.abs(due_s - 0.8) > 0.01
        np.testing.assert_array_equal(chunk[clear, 6], told(due_s, GOALS[0])[clear, 6])


def test_a_large_bgr8_picture_becomes_the_policys_in_rgb(bags: Path) -> None:
    pixels = read(bags / "bag_0").images["eye"]
    assert pixels.shape[1:] == (36, 64, 3)
    assert tuple(pixels[0, 18, 32]) == (220, 30, 30)


def test_without_commands_the_next_measured_positions_are_the_actions(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 0.4, seconds=1.2, commands=False)
    arrays = read(bag, "next_state: true\ncameras: {eye: /camera/color/image_raw}\nsuccess: true")
    due_s = (arrays.stamp_ns[3] - BEGIN_NS) / 1e9 + 0.05 * np.arange(1, 11)
    chunk = action_chunk(arrays, 3, 10, DT_NS)
    np.testing.assert_allclose(chunk[:, :6], told(due_s - 0.01, 0.4)[:, :6], atol=4e-3)
    assert arrays.success is True


def parsed(*words: str) -> argparse.Namespace:
    """Read the words of `arfm train`."""
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(["bags", "--out", "run", *words])


def trained(bags: Path, out: Path) -> Path:
    """Train a tiny network on bags as the command line describes them; returns the run folder."""
    (out / "map.yaml").write_text(TOPICS)
    described = verb.recorded_robot(parsed("--robot", "ur5e", "--topics", str(out / "map.yaml")))
    assert described["model"].cameras == (("eye", 96, 128),)
    described["model"] = replace(SMALL, cameras=(("eye", 32, 64),))
    planned = plan(bags, out / "run", steps=500, batch=16, learning_rate=3e-3)
    start(replace(planned, **described), say=silent)
    return out / "run"


def test_the_bundle_of_a_foreign_bag_names_the_robots_axes_and_says_what_was_done(
    bags: Path, tmp_path: Path
) -> None:
    run = trained(bags, tmp_path)
    assert export_bundle(run, tmp_path / "bundle", "press", 1, "none", say=silent).passed
    policy = load_policy(tmp_path / "bundle", threads=1)
    spec = policy.spec
    assert spec.state_names == spec.action_names == NAMES and spec.dt_ns == DT_NS
    assert [axis.unit for axis in spec.action] == ["rad"] * 6 + ["1"]
    limits = [(axis.low, axis.high) for axis in UR5E.axes]
    assert [(axis.low, axis.high) for axis in spec.action] == limits
    assert spec.relative == (True,) * 6 + (False,)
    assert dict(spec.instructions) == {"press": "press the button"}
    arrays = read(bags / "bag_0", size=(32, 64))
    errors, still = [], []
    for i in (2, 4, 6, 8):
        pictures = {"eye": arrays.images["eye"][i]}
        seen = Observation(pictures, arrays.state[i], arrays.instruction, 0)
        noise = np.zeros(spec.flow_shape, np.float32)
        chunk = policy.sample(policy.encode(seen), noise).actions[:10]
        done = action_chunk(arrays, i, 10, DT_NS)
        errors.append(np.abs(chunk - done)[:, :6].mean(axis=0))
        still.append(np.abs(arrays.state[i] - done)[:, :6].mean(axis=0))
    error, moved = np.mean(errors, axis=0), np.mean(still, axis=0)
    print("open loop, rad:", error.round(4), "standing still:", moved.round(4))
    assert error.max() < 0.08 and error[0] < moved[0] / 2


def test_the_command_line_needs_a_robot_for_a_topic_map() -> None:
    assert verb.recorded_robot(parsed()) == {}
    with pytest.raises(ConfigError, match="--topics needs --robot"):
        verb.recorded_robot(parsed("--topics", "map.yaml"))
    with pytest.raises(ConfigError, match="--urdf with --robot"):
        verb.recorded_robot(parsed("--robot", "ur5e", "--urdf", "a.urdf"))
    with pytest.raises(ConfigError, match="no robot 'ur55'"):
        verb.recorded_robot(parsed("--robot", "ur55"))
