"""From chunks through the arbiter and each robot's own controllers to its motors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import ActionChunk, Context, Observation
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.evaluate.rollout import Rollouts
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import Robot
from arfm_ros.sim.arms.contract import contract_of, robot_of
from arfm_ros.sim.drive.driver import DriverConfig, PolicyDriver
from arfm_ros.sim.world import World

ARM = str(Path(__file__).parents[2] / "robots" / "made_up_arm" / "arm.yaml")
HORIZON, DT_NS, SPEED = 16, 50_000_000, 0.6


def spec_of(robot: Robot, extra: tuple[str, ...] = ()) -> PolicySpec:
    state, action = (*robot.names, *extra), robot.names
    size = (HORIZON, len(action))
    return PolicySpec(
        name="knows the way",
        cameras=(),
        state=tuple(map(Axis, state)),
        action=tuple(map(Axis, action)),
        horizon=HORIZON,
        dt_ns=DT_NS,
        state_norm=Affine(np.zeros(len(state), np.float32), np.ones(len(state), np.float32)),
        action_norm=Affine(np.zeros(size, np.float32), np.ones(size, np.float32)),
        relative=(False,) * len(action),
    )


class KnowsTheWay:
    """A policy that sees where the balls are and goes there in joint space, at limited speed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names, self.world = names, World(load_robot(ARM))

    def encode(self, observation: Observation) -> Context:
        return Context({}, observation.state, observation.stamp_ns)

    def sample(self, context: Context, *_: object) -> ActionChunk:
        goal = context.state.astype(float)
        for arm in self.world.arms:
            ball = self.world.object_pose(arm.marker)[0]
            goal[arm.own] = arm.solver.start(ball, arm.solver.down(0.0))
        steps = np.arange(1, HORIZON + 1)[:, None] * SPEED * DT_NS * 1e-9
        path = context.state + np.clip(goal - context.state, -steps, steps)
        return ActionChunk(path.astype(np.float32), context.stamp_ns, DT_NS, self.names)


@pytest.mark.parametrize("name", ["ur5e", "gen3", "iiwa14", "fr3_two_arms", ARM])
def test_a_policy_reaches_through_the_controllers_of_its_robot(name: str) -> None:
    robot = load_robot(name)
    policy = KnowsTheWay(robot.names)
    rollouts = Rollouts(policy, spec_of(robot), DriverConfig(robot=name))
    policy.world = rollouts.world
    refused: list[str] = []
    send = rollouts.driver.send
    rollouts.driver.send = lambda decision: refused.append(send(decision)) or ""  # type: ignore
    results = [rollouts.run("reach", seed) for seed in range(3)]
    assert [result.success for result in results] == [True] * 3
    assert max(result.step_ratio for result in results) <= 1.0
    assert refused and not any(refused)


def test_the_robot_of_a_policy_is_found_by_its_actions() -> None:
    for name in ("fr3", "ur5e", "gen3", "iiwa14", "fr3_two_arms"):
        assert robot_of(load_robot(name).names).name == name
    assert robot_of(load_robot(ARM).names, ARM).name == "made_up_arm"
    with pytest.raises(ConfigError, match="no robot of config/robots has these.*--robot"):
        robot_of(("elbow",))
    with pytest.raises(ConfigError, match="robot 'ur5e' has others"):
        robot_of(load_robot("fr3").names, "ur5e")


def test_a_policy_of_another_robot_is_refused_before_it_moves_anything() -> None:
    world = World(load_robot("iiwa14"))
    with pytest.raises(ConfigError, match="robot 'iiwa14' has joint_a1"):
        PolicyDriver(None, spec_of(load_robot("fr3")), world)
    PolicyDriver(None, spec_of(load_robot("iiwa14"), ("cube_x",)), world)
    unknown = load_robot(ARM)  # no arm of config/robots: whose tool would see the objects?
    with pytest.raises(ConfigError, match="the joints of no arm of config/robots"):
        PolicyDriver(None, spec_of(unknown, ("cube_x",)), World(unknown))


def test_only_compliant_arms_trail_their_target() -> None:
    fast = 2.0
    for name, late in (("ur5e", False), ("iiwa14", True)):
        contract = contract_of(World(load_robot(name)))
        lead = contract.lead(np.full(contract.limits.size, fast))
        assert bool(lead.max() > 0.01) is late and (lead >= 0.0).all()
