"""Laws of the simulated robot and its table."""

import time

import fr3_rig
import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.sim.world import World

READY = (0.0, 0.3, 0.0, -2.2, 0.0, 2.5, np.pi / 4)
DOWN = (1.0, 0.0, 0.0, 0.0)  # tool z downwards, quaternion xyzw


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def any_arm(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(fr3.POSITION_MIN_RAD, fr3.POSITION_MAX_RAD)


def test_the_model_carries_the_published_masses_inertias_and_limits(world):
    model = world.model
    bodies = [f"fr3_link{i}" for i in range(8)]
    known = [*zip(bodies, fr3.LINK_INERTIALS), ("fr3_hand", fr3.HAND_INERTIAL)]
    known += [(f"fr3_{side}finger", fr3.FINGER_INERTIAL) for side in ("left", "right")]
    for name, inertial in known:
        body = model.body(name)
        assert body.mass[0] == pytest.approx(inertial.mass_kg)
        assert np.allclose(body.ipos, inertial.com_m)
        xx, yy, zz, xy, xz, yz = inertial.inertia_kg_m2
        matrix = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert np.allclose(np.sort(body.inertia), np.linalg.eigvalsh(matrix), rtol=1e-3)
    ranges = model.jnt_range[: fr3.DOF]
    assert np.allclose(ranges, np.transpose([fr3.POSITION_MIN_RAD, fr3.POSITION_MAX_RAD]))
    assert np.allclose(model.actuator_ctrlrange[: fr3.DOF, 1], fr3.TORQUE_MAX_NM)
    assert tuple(model.joint(i).name for i in range(fr3.DOF)) == fr3.JOINT_NAMES


def test_the_tool_is_where_the_published_dh_parameters_put_it(world):
    rng = np.random.default_rng(0)
    for _ in range(20):
        arm = any_arm(rng)
        world.reset(arm)
        position, quaternion = world.tool_pose()
        expected_position, expected_quaternion = fr3_rig.forward(arm)
        assert np.allclose(position, expected_position, atol=1e-9)
        assert abs(np.dot(quaternion, expected_quaternion)) == pytest.approx(1.0, abs=1e-9)


def test_gravity_compensation_holds_the_arm_still(world):
    for arm in (fr3.HOME, READY):
        world.reset(arm)
        world.step(1000)
        state = world.robot_state()
        assert np.abs(state.position - arm).max() < 1e-9
        assert np.abs(state.velocity).max() < 1e-9


def test_a_small_joint_step_settles_on_its_target_without_ringing(world):
    world.reset()
    target = np.array(fr3.HOME) + 0.02
    world.command_joints(target)
    peak = np.zeros(fr3.DOF)
    for _ in range(1500):
        world.step()
        peak = np.maximum(peak, world.robot_state().position - fr3.HOME)
    assert (peak < 1.1 * 0.02).all()
    assert np.abs(world.robot_state().position - target).max() < 1e-4


def test_a_far_target_for_all_joints_at_once_is_reached_and_the_arm_comes_to_rest(world):
    world.reset()
    target = np.array(fr3.HOME) + 0.3 * np.array([1, -1, 1, 1, 1, 1, 1])
    world.command_joints(target)
    world.step(3500)
    state = world.robot_state()
    assert np.abs(state.position - target).max() < 1e-3
    assert np.abs(state.velocity).max() < 1e-3


@pytest.mark.parametrize("joint", range(fr3.DOF))
def test_a_ramp_lags_by_d_over_k_and_not_at_all_with_its_velocity(world, joint):
    rate = 0.5
    for with_velocity, limit_s in ((False, 0.12), (True, 0.015)):
        world.reset()
        target, speed = np.array(fr3.HOME), np.zeros(fr3.DOF)
        speed[joint] = rate
        for _ in range(800):
            target[joint] += rate * 1e-3
            world.command_joints(target, speed if with_velocity else None)
            world.step()
        lag_s = (target[joint] - world.robot_state().position[joint]) / rate
        assert abs(lag_s) < limit_s


def test_the_tool_reaches_a_cartesian_target_within_two_millimetres(world):
    world.reset(READY)
    position, _ = world.tool_pose()
    goal = position + (0.05, 0.1, -0.05)
    world.command_pose(goal, DOWN)
    world.step(3000)
    reached, quaternion = world.tool_pose()
    assert np.linalg.norm(reached - goal) < 0.002
    assert abs(np.dot(quaternion, DOWN)) > 0.9999


def test_a_push_moves_the_hand_and_the_arm_comes_back(world):
    world.reset(READY)
    before, _ = world.tool_pose()
    world.push((0.0, 30.0, 0.0), 0.2)
    world.step(200)
    assert world.tool_pose()[0][1] - before[1] > 0.001
    world.step(1500)
    assert np.linalg.norm(world.tool_pose()[0] - before) < 1e-4


def test_the_hand_lifts_a_cube_and_lets_it_go(world):
    world.reset(READY)
    world.place("cube", (0.5, 0.05, 0.0225), 0.0)
    for at, opening, steps in (((0.5, 0.05, 0.12), 1, 2000), ((0.5, 0.05, 0.02), 1, 1500)):
        world.command_pose(at, DOWN)
        world.command_gripper(opening)
        world.step(steps)
    world.command_gripper(0.0)
    world.step(1000)
    assert world.touching("cube", "fr3_leftfinger") and world.touching("fr3_rightfinger", "cube")
    assert 0.45 < world.robot_state().gripper < 0.65
    world.command_pose((0.5, 0.05, 0.25), DOWN)
    world.step(4000)
    assert world.object_pose("cube")[0][2] > 0.2
    assert not world.touching("cube", "table")
    world.command_gripper(1.0)
    world.step(1000)
    assert world.object_pose("cube")[0][2] < 0.05


def test_a_cube_comes_to_rest_in_the_bin(world):
    world.reset()
    world.place("bin", (0.5, 0.2, 0.0))
    world.place("cube", (0.5, 0.2, 0.15), 0.5)
    world.step(1500)
    height = world.object_pose("cube")[0][2]
    assert world.touching("cube", "bin") and 0.02 < height < 0.05


def test_parked_objects_stay_where_they_are(world):
    world.reset()
    before = [world.object_pose(name)[0] for name in ("cube", "puck", "marker", "zone", "bin")]
    world.step(1000)
    after = [world.object_pose(name)[0] for name in ("cube", "puck", "marker", "zone", "bin")]
    assert np.array_equal(before, after) and max(p[2] for p in after) < -1.0


def test_the_same_commands_after_a_reset_give_the_same_state_bit_by_bit():
    def run(world: World) -> np.ndarray:
        world.reset(READY)
        world.place("cube", (0.5, 0.0, 0.05), 0.4)
        world.command_joints(np.array(READY) + 0.1)
        world.step(400)
        return np.concatenate([world.data.qpos, world.data.qvel])

    world = World()
    first = run(world)
    assert np.array_equal(run(world), first)
    assert np.array_equal(run(World()), first)


def test_a_restored_snapshot_goes_on_as_the_original_did(world):
    world.reset(READY)
    world.place("cube", (0.5, 0.0, 0.05), 0.4)
    world.command_pose((0.45, 0.1, 0.3), DOWN)
    world.command_gripper(0.2)
    world.step(150)
    world.push((5.0, 0.0, 0.0), 0.1)
    snapshot = world.snapshot()
    world.step(300)
    expected = np.concatenate([world.data.qpos, world.data.qvel])
    other = World(seed=1)
    for one in (world, other):
        one.restore(snapshot)
        one.step(300)
        assert np.array_equal(np.concatenate([one.data.qpos, one.data.qvel]), expected)


def test_a_command_that_is_not_finite_is_refused_and_changes_nothing(world):
    world.reset(READY)
    with pytest.raises(SafetyError, match="nan"):
        world.command_joints([np.nan] * 7)
    with pytest.raises(SafetyError, match="6 values|needs 7"):
        world.command_joints([0.0] * 6)
    with pytest.raises(SafetyError, match="inf"):
        world.command_pose((0.0, 0.0, np.inf), DOWN)
    with pytest.raises(SafetyError, match="length 1"):
        world.command_pose((0.5, 0.0, 0.3), (0.0, 0.0, 0.0, 0.0))
    with pytest.raises(SafetyError, match="negative"):
        world.command_stiffness([-1.0] * 6)
    world.step(200)
    assert np.abs(world.robot_state().position - READY).max() < 1e-9


def test_an_unknown_object_is_named_with_those_that_exist(world):
    with pytest.raises(ConfigError, match="spoon.*cube"):
        world.place("spoon", (0.5, 0.0, 0.0))
    with pytest.raises(ConfigError, match="spoon.*cube"):
        world.object_pose("spoon")


def test_simulated_time_counts_the_steps_and_costs_less_of_a_processor(world):
    world.reset()
    begin = time.thread_time()
    world.step(1000)
    assert world.time_ns == 1_000_000_000
    assert time.thread_time() - begin < 1.0
