"""Where words lead: home, the ends of a gripper, the tool a bit aside."""

import numpy as np
import pytest

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.words.lexicon import Nudge
from arfm_ros.words.motions import Motions

FR3 = load_robot("fr3")
HOME = np.array([axis.home for axis in FR3.axes])


@pytest.mark.parametrize("name", ["fr3", "ur5e", "gen3", "fr3_two_arms"])
def test_home_is_where_the_description_says(name):
    robot = load_robot(name)
    goals = Motions(robot).goals("home")
    arms = [group for group in robot.groups if group.kind == "arm"]
    assert list(goals) == [group.name for group in arms]
    assert all(list(goals[g.name]) == [axis.home for axis in g.axes] for g in arms)


def test_open_and_close_are_the_gripper_s_ends_and_other_words_lead_nowhere():
    motions = Motions(FR3)
    assert {k: v.tolist() for k, v in motions.goals("open").items()} == {"gripper": [1.0]}
    assert {k: v.tolist() for k, v in motions.goals("close").items()} == {"gripper": [0.0]}
    assert motions.goals("stop") == {} and Motions(load_robot("iiwa14")).goals("close") == {}


@pytest.mark.parametrize("frame", ["base", "tool"])
def test_a_nudge_moves_the_tool_by_the_table(frame):
    chain = Chain(FR3, "arm")
    before = chain.forward(HOME[:7])
    goal = Motions(FR3).nudged(Nudge((0.0, 0.02, 0.0), frame=frame), HOME)["arm"]
    moved = chain.forward(goal).position - before.position
    expected = np.array([0.0, 0.02, 0.0])
    expected = before.rotation @ expected if frame == "tool" else expected
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    np.testing.assert_allclose(chain.forward(goal).rotation, before.rotation, atol=3e-3)


def test_a_nudge_out_of_reach_is_refused():
    straight = HOME.copy()
    straight[:7] = [0.0, 0.0, 0.0, -0.2, 0.0, 0.6, 0.0]
    with pytest.raises(ConfigError, match="cannot go there"):
        for _ in range(8):
            straight[:7] = Motions(FR3).nudged(Nudge((0.0, 0.0, 0.1)), straight)["arm"]
