"""The shipped policy in closed loop, without ROS."""

import numpy as np
import pytest

from arfm_ros.bringup import find_bundle
from arfm_ros.engines import load_policy
from arfm_ros.evaluate.bundles import evaluate, summary
from arfm_ros.evaluate.rollout import RolloutResult, Rollouts
from arfm_ros.sim.drive.driver import DriverConfig, PolicyDriver
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.world import World


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    policy = load_policy(find_bundle(""), threads=1)
    return Rollouts(policy, policy.spec)


@pytest.mark.parametrize("task", ["reach", "lift"])
def test_the_shipped_policy_solves_its_tasks(rollouts: Rollouts, task: str) -> None:
    results = [rollouts.run(task, seed) for seed in range(5)]
    assert sum(r.success for r in results) >= 4
    assert all(r.step_ratio <= 1.0 + 1e-9 for r in results)


def test_the_same_seed_gives_the_same_episode(rollouts: Rollouts) -> None:
    assert rollouts.run("reach", 7) == rollouts.run("reach", 7)


def distances_after(instruction: str) -> dict[str, float]:
    """Drive the scene of one seed for 1.5 s and return the tool's distance to each object."""
    policy = load_policy(find_bundle(""), threads=1)
    world = World()
    driver = PolicyDriver(policy, policy.spec, world)
    make_task("lift").reset(world, np.random.default_rng(3))
    driver.start(instruction, seed=3)
    for _ in range(150):
        decision = driver.act()
        assert decision.command is not None
        world.command_joints(decision.command[:7], decision.velocity[:7])
        world.command_gripper(float(decision.command[7]))
        world.step(10)
    tool = world.tool_pose()[0]
    return {
        name: float(np.linalg.norm(tool - world.object_pose(name)[0]))
        for name in ("marker", "cube")
    }


def test_the_instruction_decides_what_is_done() -> None:
    reached, lifted = (distances_after(t) for t in ("reach the blue ball", "lift the red cube"))
    assert reached["marker"] < reached["cube"]
    assert lifted["cube"] < lifted["marker"]


def test_a_summary_counts_and_bounds() -> None:
    results = [RolloutResult("reach", s, "", s < 3, 1.0, 9, 0.5) for s in range(4)]
    report = summary(results)
    assert report["success_rate"] == 0.75 and report["n"] == 4
    assert report["interval"][0] < 0.75 < report["interval"][1]
    assert [e["seed"] for e in report["episodes"]] == [0, 1, 2, 3]


def test_workers_give_what_one_process_gives(rollouts: Rollouts) -> None:
    here = [rollouts.run("reach", seed) for seed in (11, 12)]
    assert evaluate(find_bundle(""), "reach", (11, 12), DriverConfig(), 2) == here
