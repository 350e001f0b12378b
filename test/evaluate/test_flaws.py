"""Flaws of an environment's expert: what is asked for happens, and nothing leaves the limits."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import Axis
from arfm_ros.evaluate.envs.flaws import Flawed
from arfm_ros.sim.expert.quality import QUALITIES, quality

AXES = (*(Axis(f"step_{a}", "m", -0.01, 0.01) for a in "xyz"), Axis("gripper", "1", 0.0, 1.0))
SEEN = Observation({}, np.zeros(1, np.float32), "", 0)
DT_S = 0.0125
ASKED = np.array([0.006, -0.002, 0.0, 0.0])


def played(name: str, seed: int) -> tuple[Flawed, np.ndarray]:
    hand = Flawed(lambda _: ASKED, quality(name), AXES, np.random.default_rng(seed))
    return hand, np.array([hand.act(SEEN, k * DT_S, DT_S) for k in range(480)])


def test_without_flaws_the_expert_acts_alone() -> None:
    hand, actions = played("full", 0)
    assert not hand.flawed and (actions == ASKED).all()


@pytest.mark.parametrize("name", sorted(QUALITIES))
def test_no_action_leaves_its_limits(name: str) -> None:
    for seed in range(5):
        _, actions = played(name, seed)
        assert (np.abs(actions[:, :3]) <= 0.01 + 1e-12).all()
        assert ((actions[:, 3] >= 0.0) & (actions[:, 3] <= 1.0)).all()


def test_paces_differ_by_the_episode_and_segments_have_bad_stretches_that_are_known() -> None:
    sizes = {round(float(played("paces", seed)[1][-1, 0]), 6) for seed in range(20)}
    assert sizes == {0.006, round(0.006 * quality("paces").slow_pace, 6)}
    for seed in range(10):
        hand, actions = played("segments", seed)
        poor = np.array([hand.poor(k * DT_S) for k in range(480)])
        wrong = (actions != ASKED).any(axis=1)
        assert poor.any() and not poor.all()
        assert (wrong <= poor).all(), "something bad was not known"


def test_of_a_stitch_only_one_part_is_slow_with_the_hand_shut_or_open() -> None:
    paces = set()
    for seed in range(12):
        hand, _ = played("stitch", seed)
        both = [hand._pace_of(np.array([0.006, 0.0, 0.0, opening])) for opening in (0.0, 1.0)]
        paces.add(tuple(both))
    slow = quality("stitch").slow_pace
    assert paces == {(slow, 1.0), (1.0, slow)}


def test_of_halves_the_clumsy_part_drops_or_hesitates_on_a_detour() -> None:
    kinds = set()
    for seed in range(12):
        hand, _ = played("halves", seed)
        kinds.add((hand._slow_when, *sorted(what for what, _, _ in hand._stretches)))
    assert kinds == {("held", "drop"), ("empty", "detour", "pause")}


def test_worse_qualities_are_worse() -> None:
    def off(name: str) -> float:
        return float(np.mean([np.abs(played(name, s)[1] - ASKED).mean() for s in range(12)]))

    assert off("full") == 0.0 < off("good") < off("mixed") < off("poor")
