"""Whoever commands the arm may die; the controller keeps its last target for ever."""

import numpy as np
import pytest

from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import DISPLACEMENT_MAX_RAD, PUBLISHED, TUNED, JointGains
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.sim.controllers.impedance import JointImpedance
from arfm_ros.sim.world import World

LOW, HIGH = np.array(fr3.POSITION_MIN_RAD), np.array(fr3.POSITION_MAX_RAD)
TICK_MS = 10
STRETCHED = np.array([0.0, 0.9, 0.0, -0.5, 0.0, 2.0, 0.7])


@pytest.fixture(scope="module")
def world():
    return World()


def starts():
    rng = np.random.default_rng(0)
    margin = 0.4
    drawn = [rng.uniform(LOW + margin, HIGH - margin) for _ in range(2)]
    return [np.array(fr3.HOME), STRETCHED, *drawn]


def speed_up(world, gains: JointGains, start, speeds):
    """Command joint speeds [7] as the arbiter would, up to full speed; return the last target."""
    limits = fr3_limits(controller=gains)
    world._robot.joint = JointImpedance(gains)
    world.reset(start)
    target, velocity = start.copy(), np.zeros(fr3.DOF)
    for _ in range(60):
        faster = limits.acceleration[:7] * TICK_MS / 1000
        step = np.clip(speeds - velocity, -faster, faster)
        ahead = target + (velocity + step) * TICK_MS / 1000
        if not ((ahead > limits.low[:7]) & (ahead < limits.high[:7])).all():
            break
        velocity, target = velocity + step, ahead
        world.command_joints(target, gains.field(velocity))
        world.step(TICK_MS)
    return target, velocity


@pytest.mark.parametrize("gains", [PUBLISHED, TUNED], ids=["published", "tuned"])
@pytest.mark.parametrize("joint", range(fr3.DOF))
def test_a_joint_at_any_permitted_speed_ends_near_its_last_target(world, gains, joint):
    limits = fr3_limits(controller=gains)
    for start in starts():
        middle = 0.5 * (LOW + HIGH)[joint]
        way = 1.0 if start[joint] < middle else -1.0
        for part in (0.5, 1.0):
            speeds = np.zeros(fr3.DOF)
            speeds[joint] = way * part * limits.velocity[joint]
            target, velocity = speed_up(world, gains, start, speeds)
            past = 0.0
            for _ in range(200):
                world.step(TICK_MS)
                state = world.robot_state()
                past = max(past, way * float(state.position[joint] - target[joint]))
            assert past <= DISPLACEMENT_MAX_RAD, (start, part, velocity)
            assert np.abs(state.velocity).max() < 0.05


@pytest.mark.parametrize("gains", [PUBLISHED, TUNED], ids=["published", "tuned"])
@pytest.mark.parametrize("seed", range(8))
def test_all_joints_at_once_end_near_their_last_target(world, gains, seed):
    limits, rng = fr3_limits(controller=gains), np.random.default_rng(seed)
    for start in starts():
        few = rng.random(fr3.DOF) < rng.choice((0.2, 0.5, 1.0))
        speeds = rng.normal(size=fr3.DOF) * np.where(few, 1.0, 0.1) * limits.velocity[:7]
        speeds /= np.sqrt((limits.together[:7, :7] @ speeds**2).max())
        speeds = np.clip(speeds, -limits.velocity[:7], limits.velocity[:7])
        target, velocity = speed_up(world, gains, start, speeds)
        past = 0.0
        for _ in range(150):
            world.step(TICK_MS)
            state = world.robot_state()
            past = max(past, float(np.max(np.sign(velocity) * (state.position - target))))
        assert past <= DISPLACEMENT_MAX_RAD, (start, speeds)
        assert np.abs(state.velocity).max() < 0.05
