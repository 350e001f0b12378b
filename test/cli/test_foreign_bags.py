"""A robot that another stack recorded: its bags train a policy that says what the robot did."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from foreign_bag_rig import ARM, BEGIN_NS, TOPICS, knuckle, wanted, write_bag
from learn_rig import SMALL, plan, silent

from arfm_ros.cli import train as verb
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import Observation
from arfm_ros.engines import load_policy
from arfm_ros.episodes.read.topic_map import read_topic_map
from arfm_ros.episodes.read.topics import topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import EpisodeArrays, Wanted, action_chunk, read_windows
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.running import Running
from arfm_ros.learn.data.frames import FramesConfig, open_frames
from arfm_ros.learn.loop.begin import start
from arfm_ros.robots.actions.policy import policy_actions
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.wire import messages

pytestmark = pytest.mark.robot  # long: the robots' lane has time for it

UR5E, TWO = load_robot("ur5e"), load_robot("fr3_two_arms")
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
    assert export_bundle(run, tmp_path / "bundle", "press", 1, Running("none"), say=silent).passed
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
    for flag in ("--topics", "--actions"):
        with pytest.raises(ConfigError, match=f"{flag} needs --robot"):
            verb.recorded_robot(parsed(flag, "map.yaml"))
    with pytest.raises(ConfigError, match="--urdf with --robot"):
        verb.recorded_robot(parsed("--robot", "ur5e", "--urdf", "a.urdf"))
    with pytest.raises(ConfigError, match="no robot 'ur55'"):
        verb.recorded_robot(parsed("--robot", "ur55"))


SPACES = """
- {group: arm, space: tool_pose, reference: measured, rotation: axis_angle}
- {group: gripper, space: gripper_binary, closed: -1.0}
"""


def test_a_policy_learns_steps_of_the_tool_and_its_bundle_says_so(
    bags: Path, tmp_path: Path
) -> None:
    (tmp_path / "map.yaml").write_text(TOPICS)
    (tmp_path / "spaces.yaml").write_text(SPACES)
    files = ("--topics", str(tmp_path / "map.yaml"), "--actions", str(tmp_path / "spaces.yaml"))
    described = verb.recorded_robot(parsed("--robot", "ur5e", *files))
    described["model"] = replace(SMALL, cameras=(("eye", 32, 64),))
    first = replace(plan(bags, tmp_path / "run", batch=16), **described)
    spec = start(first, say=silent).spec
    assert [dict(one) for one in spec.actions] == yaml.safe_load(SPACES)
    assert spec.action_names == (
        *(f"arm.{n}" for n in ("x", "y", "z", "rx", "ry", "rz")),
        "gripper",
    )
    assert spec.relative == (False,) * 7 and spec.state_names == NAMES
    assert [axis.unit for axis in spec.action] == [*["m"] * 3, *["rad"] * 3, "command"]
    frames = open_frames(tmp_path / "run" / "cache", FramesConfig(cameras=(("eye", 32, 64),)))
    actions = policy_actions(spec, UR5E, lambda group: ArmKinematics(UR5E, group))
    arrays = read(bags / "bag_0")
    path = actions.to_joints(frames.chunk[5], np.float64(frames.state[5]))
    np.testing.assert_allclose(path[:10, :6], action_chunk(arrays, 5, 10, DT_NS)[:, :6], atol=2e-3)
    again = replace(plan(bags, tmp_path / "more", batch=16), init=tmp_path / "run")
    with pytest.raises(ConfigError, match="need the robot that they move: --robot"):
        start(replace(again, topics=first.topics), say=silent)
    del described["model"], described["actions"]
    assert start(replace(again, **described), say=silent).spec.actions == spec.actions


def write_two_arms(folder: Path, seed: int) -> Path:
    """Record two arms, both of whose grippers publish the same name, on topics of their own."""
    rng, writer = np.random.default_rng(seed), EpisodeWriter(folder)
    for n in range(12):
        now, command = BEGIN_NS + n * DT_NS, np.linspace(0.0, 0.1 * n, len(TWO.names))
        for side, part in (("left", command[:8]), ("right", command[8:])):
            joints = [f"{side}_fr3_joint{i}" for i in range(1, 8)]
            state = messages.joint_state(now, joints, part[:7] - 0.01)
            writer.write(f"/{side}/joint_states", *state, now)
            opening = messages.joint_state(now, ["gripper_joint"], part[7:])
            writer.write(f"/{side}/gripper/joint_states", *opening, now)
        writer.write("/arbiter/command", *messages.joint_state(now, TWO.names, command), now)
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        writer.write("/eye/image_raw", *messages.image(now, pixels), now)
    writer.label({"task": "fold", "success": True}, now)
    return writer.close()


@pytest.mark.parametrize("groups", [(), ("left_arm", "right_arm")])
def test_two_arms_are_learned_in_the_order_of_their_groups(
    groups: tuple[str, ...], tmp_path: Path
) -> None:
    for seed in (0, 1):
        write_two_arms(tmp_path / "data" / f"e{seed}", seed)
    planned = replace(
        plan(tmp_path / "data", tmp_path / "run"),
        model=replace(SMALL, cameras=(("eye", 32, 32),)),
        robot=TWO,
        topics=replace(topics_of(TWO), groups=groups),
    )
    saved = start(planned, say=silent)
    chosen = groups or tuple(group.name for group in TWO.groups)
    names = tuple(name for one in chosen for name in TWO.group(one).names)
    assert saved.spec.state_names == saved.spec.action_names == names
    assert saved.spec.relative == tuple("gripper" not in name for name in names)
    assert ("gripper_accuracy" in saved.validation) is (not groups)
