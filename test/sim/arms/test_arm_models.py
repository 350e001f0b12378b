"""Models made from descriptions: the same kinematics, masses and couplings as the URDF."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.bodies import read_tree
from arfm_ros.robots.files.load import load_robot, read_robot
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.poses import Pose, from_quaternions
from arfm_ros.robots.robot import ControllerChoice, Robot
from arfm_ros.sim.arms.build import body_name, build_model, joint_name
from arfm_ros.sim.arms.plan import plan_of
from arfm_ros.sim.world import World

ARM = Path(__file__).parents[2] / "robots" / "made_up_arm"
NAMES = ("ur5e", "gen3", "iiwa14", "fr3_two_arms", str(ARM / "arm.yaml"))
WITH_HANDS = tuple(name for name in NAMES if name != "iiwa14")


@pytest.fixture(scope="module", params=("fr3", *NAMES))
def world(request: pytest.FixtureRequest) -> World:
    return World(load_robot(request.param))


def posture(robot: Robot, seed: int) -> np.ndarray:
    """Draw positions of all axes but grippers, within their limits."""
    rng = np.random.default_rng(seed)
    axes = [axis for axis in robot.axes if axis.unit != "1"]
    return np.array([rng.uniform(max(a.low, -2.0), min(a.high, 2.0)) for a in axes])


def test_tools_are_where_the_kinematics_of_the_description_say(world: World) -> None:
    for seed in range(5):
        world.reset(posture(world.robot, seed), gripper=0.3)
        for arm in world.arms:
            q = world.measured()[arm.own]
            group = world.robot.group(arm.group)
            position, quaternion = world.tool_pose(arm.group)
            tree = read_tree(world.robot.description)
            base = tree.still_pose(group.base or tree.root).matrix
            wanted = base @ ArmKinematics(world.robot, arm.group).forward(q).matrix
            here = Pose.of(position, from_quaternions(quaternion)).matrix
            np.testing.assert_allclose(here, wanted, atol=1e-9)
            np.testing.assert_allclose(arm.solver.tool(q), wanted, atol=1e-9)


@pytest.mark.parametrize("name", ["ur5e", "gen3", "fr3_two_arms"])
def test_every_mass_of_the_description_is_in_the_model(name: str) -> None:
    robot = load_robot(name)
    tree, model = read_tree(robot.description), build_model(plan_of(robot))
    for link in tree.links.values():
        if link.inertia is not None:
            assert model.body(body_name(link.name)).mass[0] == pytest.approx(link.inertia.mass)


def test_a_model_of_the_urdf_moves_as_the_hand_made_one_of_the_fr3() -> None:
    robot = load_robot("fr3")
    own = World(robot)
    arm = replace(robot.group("arm"), controller=ControllerChoice("jtc"))
    made = World(replace(robot, groups=(arm, robot.group("gripper"))))
    assert own.model.ngeom != made.model.ngeom
    names = robot.group("arm").names
    for seed in range(4):
        start = posture(robot, seed)
        inertias, weights = [], []
        for world, joints in ((own, names), (made, [joint_name(n) for n in names])):
            world.reset(start, gripper=0.5)
            places = [int(world.model.joint(joint).dofadr[0]) for joint in joints]
            inertias.append(joint_inertia(world, places))
            weights.append(world.data.qfrc_bias[places])
        np.testing.assert_allclose(inertias[0], inertias[1], atol=1e-5)
        np.testing.assert_allclose(weights[0], weights[1], atol=1e-4)


def joint_inertia(world: World, places: list[int]) -> np.ndarray:
    """Return the joint-space inertia [N, N] of some degrees of freedom."""
    unit, column, found = np.zeros(world.model.nv), np.zeros(world.model.nv), []
    for place in places:
        unit[:] = 0.0
        unit[place] = 1.0
        mujoco.mj_mulM(world.model, world.data, column, unit)
        found.append(column[places].copy())
    return np.array(found)


def test_an_arm_at_rest_stands_still_under_gravity(world: World) -> None:
    world.reset()
    before = world.measured()
    world.step(1500)
    np.testing.assert_allclose(world.measured(), before, atol=2e-3)


def test_the_whole_robot_follows_a_path(world: World) -> None:
    world.reset()
    openings, goal = world.openings, world.measured()
    speed = np.where(openings, 0.0, 0.3)
    for _ in range(50):
        goal = np.where(openings, 0.4, goal + 0.01 * speed)
        world.command(goal, speed)
        world.step(10)
    assert np.abs(world.measured() - goal)[~openings].max() < 0.12  # torques lag, servos do not
    world.command(goal, 0.0 * speed)
    world.step(2500)
    np.testing.assert_allclose(world.measured(), goal, atol=3e-3)


@pytest.mark.parametrize("name", WITH_HANDS)
def test_fingers_that_mimic_keep_to_the_driven_one(name: str) -> None:
    world = World(load_robot(name))
    world.command_gripper(0.25)
    world.step(1500)
    for axis, value in zip(world.robot.axes, world.measured()):
        for joint, k, b in axis.mimics:
            place = int(world.model.joint(joint_name(joint)).qposadr[0])
            assert world.data.qpos[place] == pytest.approx(k * value + b, abs=6e-3)
    np.testing.assert_allclose(world.measured()[world.openings], 0.25, atol=0.02)


def test_a_restored_world_goes_on_as_the_one_before(world: World) -> None:
    world.reset()
    goal = world.measured() + 0.05
    world.command(np.clip(goal, -3.0, 3.0), np.zeros(len(goal)))
    world.step(7)
    kept = world.snapshot()
    world.step(40)
    first = world.data.qpos.copy()
    world.restore(kept)
    world.step(40)
    assert np.array_equal(world.data.qpos, first)


def test_only_hands_and_wrists_touch_things() -> None:
    model = World(load_robot("ur5e")).model
    touching = {
        model.body(int(model.geom_bodyid[g])).name
        for g in range(model.ngeom)
        if model.geom_contype[g] == 1
    }
    assert body_name("robotiq_85_left_finger_tip_link") in touching
    assert body_name("upper_arm_link") not in touching


def test_a_link_of_meshes_only_is_drawn_and_weighs_what_it_says() -> None:
    text = (ARM / "arm.urdf").read_text()
    box = '<collision><origin xyz="0.15 0 0"/><geometry><box size="0.24 0.06 0.06"/></geometry>'
    mesh = '<inertial><mass value="2"/><inertia ixx="0.01" iyy="0.02" izz="0.02"/></inertial>'
    mesh += '<collision><geometry><mesh filename="package://x/y.stl"/></geometry>'
    assert box in text
    robot = replace(load_robot(str(ARM / "arm.yaml")), description=text.replace(box, mesh))
    model = World(robot).model
    upper = model.body(body_name("upper"))
    assert upper.mass[0] == 2.0 and upper.geomnum[0] == 1
    assert model.geom_type[upper.geomadr[0]] == mujoco.mjtGeom.mjGEOM_CAPSULE


def test_what_cannot_be_simulated_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="Cartesian controller"):
        World(load_robot("ur5e")).command_pose((0, 0, 0), (0, 0, 0, 1))
    text = (ARM / "arm.yaml").read_text()
    with pytest.raises(ConfigError, match="no arm with a tool"):
        World(read_robot(text.replace("    tool: tip\n", ""), ARM))
    posed = text.replace("{kind: jtc, step_s: 0.1}", "{kind: crisp_pose}")
    with pytest.raises(ConfigError, match="crisp_pose, the simulation has crisp_joint, jtc"):
        World(read_robot(posed, ARM))
    stubby = text.replace("      rail: {", "      rail: {low: -0.5, high: -0.45, home: -0.48, ")
    short = stubby.replace("bend: {", "bend: {low: 0.8, high: 1.0, ")
    with pytest.raises(ConfigError, match="cannot bring its tool"):
        World(read_robot(short, ARM))
