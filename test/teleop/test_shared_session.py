"""A shared session as data, and the scripted human beside a policy that does nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from teleop_rig import ROBOT
from test_contract import DT_NS, HORIZON, spec_of

from arfm_ros.bringup import Setup, stack
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import ActionChunk, Context, Observation
from arfm_ros.evaluate.rollout import Rollouts
from arfm_ros.sim.drive.driver import DriverConfig


class StaysWhereItIs:
    """A policy that has learned nothing."""

    def encode(self, observation: Observation) -> Context:
        return Context({}, observation.state, observation.stamp_ns)

    def sample(self, context: Context, *_: object) -> ActionChunk:
        still = np.tile(context.state, (HORIZON, 1)).astype(np.float32)
        return ActionChunk(still, context.stamp_ns, DT_NS, ROBOT.names)


def run(human: str, seed: int):
    config = DriverConfig(human=human, height=16, width=16)
    rollouts, who = Rollouts(StaysWhereItIs(), spec_of(ROBOT), config), []
    commands = []

    def watch(_, decision) -> None:
        who.append(decision.authority)
        if decision.command is not None:
            commands.append(decision.command)

    return rollouts.run("lift", seed, watch), who, np.array(commands)


def test_a_bad_policy_is_corrected_and_the_episode_says_how_often() -> None:
    alone, who, _ = run("", 3)
    assert not alone.success and (alone.interventions, alone.human_s) == (0, 0.0)
    helped, who, commands = run("scripted", 3)
    assert helped.success and helped.interventions >= 1
    assert helped.human_s == pytest.approx(who.count("human") / 100, abs=0.1)
    assert helped.step_ratio <= 1.0 + 1e-9
    first = who.index("human")
    assert np.abs(commands[first] - commands[first - 1])[:7].max() < 1e-3


def test_an_unknown_human_is_refused() -> None:
    with pytest.raises(ConfigError, match="human is 'me'"):
        run("me", 0)


def test_a_device_is_one_more_process_and_its_argument_reaches_it(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("{}")
    bundle = str(tmp_path)
    nodes = stack(Setup(sim=True, policy=bundle, teleop="bag:/data/one", task="push"))
    assert [node.name for node in nodes][-2:] == ["teleop_node", "rollout_node"]
    told = nodes[-2].parameters
    assert told["device"] == "bag" and told["config"] == "/data/one" and told["task"] == "push"
    assert "teleop_node" not in [node.name for node in stack(Setup(sim=True, policy=bundle))]


@pytest.mark.parametrize("teleop", ["mouse", "bag", "joy:left", "scripted"])
def test_a_device_that_nobody_knows_is_one_error(teleop: str) -> None:
    with pytest.raises(ConfigError, match="teleop is"):
        Setup(teleop=teleop)


def test_every_device_of_the_command_line_can_be_opened() -> None:
    pytest.importorskip("rclpy")
    from arfm_ros.bringup import TELEOP
    from arfm_ros.nodes.teleop.params import DEVICES
    from arfm_ros.nodes.teleop.sources import OPEN

    assert set(TELEOP) - {"console"} == set(DEVICES) == set(OPEN)  # a page is its own node
