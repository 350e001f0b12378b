"""What is shown: trouble in plain words, stages, rates, limits; the arm as lines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arfm_ros.console.advice import advise
from arfm_ros.console.drawing import PLAN, Drawing
from arfm_ros.console.health import NS, HealthBoard, limits_in_use
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.chain import Chain

REASONS = [
    "e-stop pressed", "e-stop released: reset to go on", "e-stop heartbeat is lost",
    "joint state is stale: 120 ms old", "joint state jumped: fr3_joint1; reset when it is right",
    "arm does not follow its command: fr3_joint2", "the arbiter itself was silent for 300 ms",
    "teleop target is 210 ms old", "/joy has 2 publishers: a, b; stop all but one",
    "chunk goes 0.500 beyond the limit of fr3_joint1 (-2.7..2.7)", "not engaged",
]  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_reasons_of_the_arbiter_have_plain_words_and_something_to_do(reason: str) -> None:
    advice = advise(reason)
    assert advice is not None and advice.todo and advice.plain != reason


def test_an_unknown_reason_is_said_as_it_is_and_none_is_none() -> None:
    advice = advise("the moon is in the way")
    assert advice is not None and advice.plain == "the moon is in the way" and "log" in advice.todo
    assert advise("  ") is None


def test_trouble_comes_first_and_a_silent_node_is_trouble() -> None:
    board = HealthBoard()
    board.hear("policy_node: health", 0, "ok", {}, 0)
    board.hear("arbiter_node: health", 2, "e-stop pressed", {"speed": "0.5"}, 3 * NS)
    assert [one["name"] for one in board.nodes(3 * NS)] == ["arbiter_node", "policy_node"]
    assert [one["level"] for one in board.trouble(3 * NS)] == ["error"]
    assert [one["node"] for one in board.trouble(5 * NS)] == ["policy_node", "arbiter_node"]
    assert board.values("arbiter_node") == {"speed": "0.5"} and board.values("nobody") == {}


def test_stages_rates_drops_and_limits_are_found() -> None:
    values = {"tick.p50_ms": "0.1", "tick.p99_ms": "0.4", "tick.max_ms": "2",
              "tick_rate_hz": "100", "ticks_missed": "3",
              "speed": "0.3", "limited.velocity.fr3_joint1": "7"}  # fmt: skip
    board = HealthBoard()
    board.hear("ns/arbiter_node: health", 0, "ok", values, 0)
    node = board.nodes(0)[0]
    assert node["stages"] == {"tick": ["0.1", "0.4", "2"]}
    assert node["counts"] == {"tick_rate_hz": "100", "ticks_missed": "3"}
    assert limits_in_use(values) == {"speed": "0.3", "velocity fr3_joint1": "7"}
    assert board.values("arbiter_node") == values
    json.dumps(node, allow_nan=False)


def test_names_of_strangers_do_not_pile_up() -> None:
    board = HealthBoard()
    for k in range(1000):
        board.hear(f"node{k}", 9, "x" * 10000, {}, 0)
    assert len(board.nodes(0)) == 32 and len(board.nodes(0)[0]["message"]) == 400


def test_the_drawn_tool_is_where_kinematics_has_it() -> None:
    robot = load_robot("fr3")
    home = {axis.name: axis.home for axis in robot.axes}
    drawing = Drawing(robot)
    points = drawing.arms(home)["arm"]
    arm = robot.group("arm").axes
    expected = Chain(robot, "arm").forward([a.home for a in arm]).matrix[:3, 3]
    assert points[-1] == pytest.approx(expected.tolist(), abs=1e-4) and len(points) == 9
    assert drawing.ways()["arm"][-1] == points[-1]
    plan = drawing.plan(list(home), np.tile(list(home.values()), (50, 1)))["arm"]
    assert len(plan) == PLAN and plan[-1] == points[-1]
    assert drawing.arms({}) == {} and drawing.plan(["elbow"], np.zeros((3, 1))) == {}


def test_two_arms_stand_beside_each_other() -> None:
    robot = load_robot("fr3_two_arms")
    arms = Drawing(robot).arms({axis.name: axis.home for axis in robot.axes})
    assert len(arms) == 2
    first, second = (np.array(points[-1]) for points in arms.values())
    assert np.linalg.norm(first - second) > 0.1
