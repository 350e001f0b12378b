"""The arbiter's core under everything that may come: no exception, nothing beyond a limit."""

import numpy as np
import pytest

from arfm_ros.core.safety.decision import HOLD, POLICY, Decision
from arfm_ros.core.sharing.authority import Ownership
from arfm_ros.faults.fuzz import HOME, LIMITS, MS, FuzzResult, fuzz, judge
from arfm_ros.faults.people import faulty_owners


@pytest.mark.parametrize("seed", [0, 1])
def test_no_decision_breaks_a_law(seed):
    result = fuzz(2_500, seed)
    assert result.violations == []
    assert result.authorities[POLICY] > 100 and result.authorities[HOLD] > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_decision_of_a_million_breaks_a_law(seed):
    assert fuzz(100_000, 1_000 + seed).violations == []


@pytest.mark.slow
def test_a_thousand_sequences_of_what_people_ask_have_one_owner_a_group_and_break_no_law():
    results = [fuzz(300, 2 * seed + 1) for seed in range(1_000)]
    assert [text for result in results for text in result.violations] == []
    seen = set().union(*(result.authorities for result in results))
    assert seen >= {"policy", "human", "words", "hold", "settle", "idle", "estop"}


def owned(**changes):
    given = {"group": "arm", "owner": "human", "mode": "policy", "weight": 1.0, "since_ns": 0}
    return Ownership(**given | changes)


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [owned(), owned()],
        [owned(owner="nobody")],
        [owned(weight=1.1)],
        [owned(axes={"fr3_joint1": -0.1})],
    ],
)
def test_the_judge_sees_a_group_without_exactly_one_owner(owners):
    assert faulty_owners(owners, {"arm"})
    assert not faulty_owners([owned()], {"arm"})


def decision(position, velocity=0.0, authority=POLICY):
    return Decision(position, np.full(LIMITS.size, velocity), authority)


@pytest.mark.parametrize(
    "law, before, now",
    [
        ("step", decision(HOME), decision(HOME + np.r_[0.1, np.zeros(7)])),
        ("acceleration", decision(HOME), decision(HOME, 0.2)),
        ("velocity", None, decision(HOME, 10.0)),
        ("velocity", None, decision(np.r_[LIMITS.high[:7], 1.0], 1.0)),
        ("position", None, decision(HOME + np.r_[3.0, np.zeros(7)])),
        ("not finite", None, decision(HOME * np.nan)),
        ("command while idle", None, decision(HOME, authority="idle")),
        ("no command", None, decision(None)),
    ],
)
def test_the_judge_sees_each_broken_law(law, before, now):
    result = FuzzResult(1, 0)
    judge(before, now, 10 * MS, result)
    assert law in result.over


def test_the_judge_passes_what_is_permitted():
    result = FuzzResult(1, 0)
    judge(decision(HOME), decision(HOME, -0.05), 10 * MS, result)
    assert result.violations == []
