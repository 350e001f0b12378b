"""The commands for a long recorded day stay what they are, bit for bit on one machine."""

from pathlib import Path

import numpy as np
import pytest
from golden_stream import config, digest

from arfm_ros.core.safety.decision import Lane
from arfm_ros.robots.fr3.gains import TUNED

KEPT = Path(__file__).with_name("golden_commands.npy")  # every 100th of 100,000 ticks: 1,000 s
ROUNDING = 1e-6  # between processors: a sum of products may be taken in another order


def test_commands_of_the_first_minute_are_those_that_were_recorded():
    _, rows = digest(6000)
    assert np.abs(rows - np.load(KEPT)[: len(rows)]).max() < ROUNDING


@pytest.mark.slow
def test_commands_of_a_thousand_seconds_are_those_that_were_recorded():
    _, rows = digest(100_000)
    assert np.abs(rows - np.load(KEPT)).max() < ROUNDING


def test_arm_and_gripper_as_lanes_are_commanded_as_one_until_a_human_takes_over():
    lanes = (Lane("arm", 7, TUNED.lead), Lane("gripper", 1))
    whole, parts = digest(400)[1], digest(400, config(lanes=lanes))[1]
    assert np.array_equal(whole, parts)
