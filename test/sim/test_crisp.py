"""The CRISP contract in front of the simulated robot, without ROS."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.controllers.crisp import CARTESIAN, JOINT, CrispController
from arfm_ros.sim.world import World

READY = (0.0, 0.3, 0.0, -2.2, 0.0, 2.5, np.pi / 4)
ZEROS = [0.0] * 7
DOWN = (1.0, 0.0, 0.0, 0.0)


@pytest.fixture
def world() -> World:
    world = World()
    world.reset(READY)
    return world


def moved(world: World, steps: int = 600) -> np.ndarray:
    world.step(steps)
    return world.robot_state().position - READY


def test_a_target_is_followed_and_held_for_ever(world):
    crisp = CrispController(world)
    crisp.joints(list(np.array(READY) + 0.02), ZEROS)
    assert np.allclose(moved(world), 0.02, atol=1e-3)
    assert np.allclose(moved(world, 3000), 0.02, atol=1e-4)


def test_everything_is_ignored_while_a_topic_has_two_publishers(world):
    crisp = CrispController(world)
    crisp.joints(list(np.array(READY) + 0.05), ZEROS, publishers=2)
    assert np.abs(moved(world)).max() < 1e-6
    assert crisp.ignored["target_joint"] == 1 and crisp.conflicts == ("target_joint",)
    assert "2 publishers" in crisp.reason
    crisp.joints(list(np.array(READY) + 0.02), ZEROS, publishers=1)
    assert np.allclose(moved(world), 0.02, atol=1e-3) and crisp.conflicts == ()


@pytest.mark.parametrize(
    "position", [[np.nan] * 7, [0.0] * 6, [0.0] * 8, [], [0.0] * 6 + [np.inf]]
)
def test_a_target_that_is_no_target_is_ignored_and_said(world, position):
    crisp = CrispController(world)
    crisp.joints(position, ZEROS)
    crisp.pose((np.nan, 0.0, 0.0), DOWN)
    assert np.abs(moved(world)).max() < 1e-6
    assert crisp.ignored["target_joint"] == 1 and "joint position target" in crisp.reason


def test_a_missing_velocity_keeps_the_previous_one(world):
    crisp = CrispController(world)
    crisp.joints(list(READY), [0.1] * 7)
    crisp.joints(list(READY), [])
    assert moved(world).max() > 1e-4  # the damper still follows 0.1 rad/s
    crisp.joints(list(READY), ZEROS)
    assert np.abs(moved(world, 1500)).max() < 1e-5


def test_a_target_for_the_inactive_controller_applies_when_it_becomes_active(world):
    crisp = CrispController(world, CARTESIAN)
    crisp.joints(list(np.array(READY) + 0.02), ZEROS)
    before, _ = world.tool_pose()
    world.step(800)
    assert np.linalg.norm(world.tool_pose()[0] - before) < 1e-3
    crisp.select(JOINT)
    assert np.allclose(moved(world, 1000), 0.02, atol=1e-3)


def test_changing_the_controller_without_a_target_holds_the_robot_where_it_is(world):
    crisp = CrispController(world, JOINT)
    crisp.select(CARTESIAN)
    assert np.abs(moved(world, 1000)).max() < 1e-4


def test_a_pose_target_moves_the_tool(world):
    crisp = CrispController(world, CARTESIAN)
    position, quaternion = world.tool_pose()
    crisp.pose(tuple(position + (0.0, 0.03, 0.0)), tuple(quaternion))
    world.step(2000)
    assert np.linalg.norm(world.tool_pose()[0] - position - (0.0, 0.03, 0.0)) < 0.002


@pytest.mark.slow
def test_stiffness_decides_how_far_a_wrench_displaces_the_tool(world):
    crisp = CrispController(world, CARTESIAN)
    shifts = []
    for stiffness in (500.0, 1000.0):
        crisp.forget()
        crisp.stiffness([stiffness] * 3 + [60.0] * 3)
        before, _ = world.tool_pose()
        crisp.wrench((0.0, 5.0, 0.0, 0.0, 0.0, 0.0))
        world.step(3000)
        shifts.append(world.tool_pose()[0][1] - before[1])
        crisp.wrench((0.0,) * 6)
        world.step(3000)
    assert shifts == pytest.approx([0.01, 0.005], rel=0.05)


def test_the_gripper_takes_an_opening_between_closed_and_open(world):
    crisp = CrispController(world)
    for command, expected in ((0.5, 0.5), (-3.0, 0.0), (7.0, 1.0)):
        crisp.gripper([command])
        world.step(1500)
        assert world.robot_state().gripper == pytest.approx(expected, abs=0.02)
    crisp.gripper([np.nan])
    crisp.gripper([])
    assert crisp.ignored["gripper"] == 2


def test_an_unknown_controller_is_refused_with_the_known_ones(world):
    with pytest.raises(ConfigError, match="cartesian_impedance_controller"):
        CrispController(world, "position_controller")
