"""Controllers in front of the drives: what they take, what they refuse, what they do with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.robots.commands.values import (
    JointTarget,
    Trajectory,
    Values,
)
from arfm_ros.robots.controllers.gripper_command import GripperGoal
from arfm_ros.robots.controllers.parallel_gripper_command import ParallelGripperGoal
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import ControllerChoice, Robot
from arfm_ros.sim.controllers.jtc import JtcMessage
from arfm_ros.sim.controllers.jtc_segment import Point
from arfm_ros.sim.world import World

ARM = str(Path(__file__).parents[2] / "robots" / "made_up_arm" / "arm.yaml")
MS = 1_000_000


def with_controller(name: str, kind: str) -> Robot:
    """Return a robot whose first group has another controller."""
    robot = load_robot(name)
    first, *others = robot.groups
    return replace(robot, groups=(replace(first, controller=ControllerChoice(kind)), *others))


def trajectory(world: World, group: str, goal: np.ndarray, at_ms: int) -> Trajectory:
    axes = world.robot.group(group).axes
    names = tuple(axis.message_name for axis in axes)
    scale, offset = (np.array([getattr(a, n) for a in axes]) for n in ("scale", "offset"))
    path = (np.stack([goal, goal]) - offset) / scale
    return Trajectory(names, (at_ms * MS, (at_ms + 50) * MS), path, np.zeros_like(path))


@pytest.mark.parametrize("name", ["ur5e", "gen3", ARM])
def test_a_trajectory_is_followed_to_its_end_within_a_milliradian(name: str) -> None:
    world = World(load_robot(name))
    begin = world.state("arm").position
    goal = begin + 0.2 * np.where(np.arange(len(begin)) % 2, -1.0, 1.0)
    assert world.receive("arm", trajectory(world, "arm", goal, 800)) == ""
    world.step(400)
    middle = world.state("arm").position  # a cubic at rest at both ends is half way in the middle
    np.testing.assert_allclose(middle, 0.5 * (begin + goal), atol=4e-3)
    world.step(1000)
    np.testing.assert_allclose(world.state("arm").position, goal, atol=1e-3)


def test_what_a_trajectory_controller_refuses_leaves_the_arm_where_it_goes() -> None:
    world = World(load_robot("ur5e"))
    world.step(500)
    begin = world.state("arm").position
    good = trajectory(world, "arm", begin + 0.1, 300)
    points = [Point(50 * MS, begin)]
    assert "past" in world.receive("arm", JtcMessage(good.names, 100 * MS, points))
    assert "needs all 6" in world.receive("arm", JtcMessage(good.names[:2], 0, points))
    nan = [Point(50 * MS, np.full(6, np.nan))]
    assert "not finite" in world.receive("arm", JtcMessage(good.names, 0, nan))
    world.step(200)
    np.testing.assert_allclose(world.state("arm").position, begin, atol=1e-4)
    assert world.receive("arm", good) == ""


def test_a_crisp_controller_keeps_the_last_velocity_and_reads_by_index() -> None:
    world = World(load_robot("iiwa14"))
    begin = world.state("arm").position
    names = tuple(reversed(world.robot.group("arm").names))
    goal = begin + np.array([0.1, 0, 0, 0, 0, 0, -0.1])
    assert world.receive("arm", JointTarget(names, goal, np.zeros(0))) == ""
    world.step(3000)
    np.testing.assert_allclose(world.state("arm").position, goal, atol=5e-3)
    drift = np.array([0.2, 0, 0, 0, 0, 0, 0])
    assert world.receive("arm", JointTarget(names, goal, drift)) == ""
    world.step(3000)  # it rests D v / K away, 94 / 1500 s here: see crisp_gains
    ahead = world.state("arm").position - goal
    assert ahead[0] == pytest.approx(0.2 * 94 / 1500, rel=0.05)
    assert "needs 7" in world.receive("arm", JointTarget(names, goal[:6], np.zeros(0)))


def test_forward_positions_are_gone_to_and_forward_velocities_never_end() -> None:
    world = World(with_controller("ur5e", "forward_position"))
    goal = world.state("arm").position + 0.05
    assert world.receive("arm", Values(goal)) == ""
    world.step(500)
    np.testing.assert_allclose(world.state("arm").position, goal, atol=1e-3)
    world = World(with_controller("ur5e", "forward_velocity"))
    begin = world.state("arm").position
    assert world.receive("arm", Values(np.full(6, 0.2))) == ""
    world.step(1000)
    np.testing.assert_allclose(world.state("arm").position, begin + 0.2, atol=5e-3)
    assert "finite" in world.receive("arm", Values(np.full(6, np.inf)))


@pytest.mark.parametrize(
    ("name", "group", "goal", "opening"),
    [
        ("ur5e", "gripper", GripperGoal(0.6, 0.0), 0.25),
        ("gen3", "gripper", ParallelGripperGoal("", 0.2, 0.0, 0.0), 0.75),
        ("fr3_two_arms", "right_gripper", Values(np.array([0.5])), 0.5),
        (ARM, "hand", GripperGoal(0.05, 0.0), 0.0),
    ],
)
def test_grippers_understand_their_drivers_numbers(
    name: str, group: str, goal: object, opening: float
) -> None:
    world = World(load_robot(name))
    assert world.receive(group, goal) == ""  # type: ignore[arg-type]
    world.step(1500)
    assert world.state(group).position[0] == pytest.approx(opening, abs=0.02)


def test_fingers_hold_a_cube_with_a_limited_force() -> None:
    world = World(load_robot("ur5e"))
    world.command_gripper(0.0)
    world.step(2000)
    assert np.abs(world.state("gripper").effort).max() <= 70.0 * 0.11
