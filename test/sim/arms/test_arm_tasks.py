"""Tasks, experts and demonstrations of every robot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.read.topics import topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import Wanted, read_episode, read_windows
from arfm_ros.robots.files.load import load_robot
from arfm_ros.sim.expert.scripted import Expert
from arfm_ros.sim.record.demos import Demonstrator, DemoOptions, drive
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.world import World

ARM = str(Path(__file__).parents[2] / "robots" / "made_up_arm" / "arm.yaml")
ROBOTS = ("ur5e", "gen3", "iiwa14", "fr3_two_arms", ARM)
HELD_MS = 300


def play(world: World, name: str, seed: int) -> bool:
    """Let the expert drive until success lasted, or the time limit."""
    task, expert, held_ms = make_task(name), Expert(name), 0
    task.reset(world, np.random.default_rng(seed))
    before = world.measured()
    while world.time_ns < task.time_limit_s * 1e9 and held_ms < HELD_MS:
        command = expert.act(world)
        drive(world, command, before, 10)
        before = command
        held_ms = held_ms + 10 if task.success(world) else 0
    return held_ms >= HELD_MS


def rate(robot: str, task: str, count: int) -> float:
    world = World(load_robot(robot))
    return float(np.mean([play(world, task, seed) for seed in range(count)]))


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robot_reaches(robot: str) -> None:
    assert rate(robot, "reach", 3) == 1.0


@pytest.mark.parametrize("robot", ["ur5e", "gen3", "fr3_two_arms"])
def test_robots_with_a_gripper_lift(robot: str) -> None:
    assert rate(robot, "lift", 2) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robot_reaches_in_98_of_100(robot: str) -> None:
    assert rate(robot, "reach", 50) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["fr3", "ur5e", "gen3"])
def test_lifting_succeeds_in_9_of_10(robot: str) -> None:
    assert rate(robot, "lift", 50) >= 0.9


@pytest.mark.parametrize("robot", ROBOTS)
def test_starts_differ_by_seed_only_and_every_arm_points_down_at_its_ball(robot: str) -> None:
    world, task = World(load_robot(robot)), make_task("reach")
    starts = []
    for seed in (5, 5, 6):
        task.reset(world, np.random.default_rng(seed))
        starts.append(world.measured())
        assert not task.success(world)
        for arm in world.arms:
            tool = arm.solver.tool(world.measured()[arm.own])
            np.testing.assert_allclose(tool[:3, 2], (0, 0, -1), atol=1e-3)
            assert np.linalg.norm(tool[:2, 3] - arm.workspace.ready_m[:2]) < 0.05, arm.group
            ball = world.object_pose(arm.marker)[0]
            assert arm.workspace.y_m[0] <= ball[1] <= arm.workspace.y_m[1]
    assert np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[0], starts[2])


def test_two_arms_succeed_only_when_both_are_there() -> None:
    world, task = World(load_robot("fr3_two_arms")), make_task("reach")
    task.reset(world, np.random.default_rng(0))
    left, right = world.arms
    world.place(left.marker, world.tool_pose(left.group)[0])
    assert not task.success(world) and task.progress(world) < 1.0
    world.place(right.marker, world.tool_pose(right.group)[0])
    assert task.success(world)


def test_an_arm_without_a_gripper_is_told_that_it_cannot_lift() -> None:
    world = World(load_robot("iiwa14"))
    with pytest.raises(ConfigError, match="'iiwa14' has no gripper.*reach"):
        make_task("lift").reset(world, np.random.default_rng(0))


@pytest.mark.parametrize("robot", ["ur5e", "fr3_two_arms", "iiwa14"])
def test_a_demonstration_has_the_axes_of_its_robot(tmp_path: Path, robot: str) -> None:
    options = DemoOptions(robot=robot, cameras=(), wide=1.0, thrown=1.0)
    assert Demonstrator(options).record("reach", 4, tmp_path / "one")
    names = load_robot(robot).names
    arrays = read_episode(tmp_path / "one", {}, names, names, 50_000_000)
    assert arrays.success is True and arrays.state.shape[1] == len(names)
    assert arrays.commands.shape[1] == len(names)
    assert set(arrays.authority) <= {"expert", "disturbed"}
    np.testing.assert_allclose(arrays.state[-1], arrays.commands[-1], atol=0.05)


def test_a_demonstration_has_the_cameras_of_its_robot(tmp_path: Path) -> None:
    assert Demonstrator(DemoOptions(robot="fr3_two_arms")).record("reach", 4, tmp_path / "one")
    robot = load_robot("fr3_two_arms")
    cameras = dict.fromkeys(("scene", "left_wrist", "right_wrist"), (48, 64))
    wanted = Wanted(cameras, robot.names, robot.names, 50_000_000, topics=topics_of(robot))
    arrays = read_windows(EpisodeReader(tmp_path / "one"), wanted)
    assert {name: one.shape[1:] for name, one in arrays.images.items()} == dict.fromkeys(
        cameras, (48, 64, 3)
    )
