"""A round that learns from a person's corrections: recorded, trained, compared, resumable."""

from __future__ import annotations

from pathlib import Path

import pytest
from improve_rig import begin, done, finish, kill, rows
from learn_rig import blind_exported
from test_improve import files, wait_for

from arfm_ros.cli.improve import verdict as told
from arfm_ros.engines import load_bundle
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.improve.oversight import steps_of
from arfm_ros.improve.verdict import demand_better, judge, relieve
from arfm_ros.learn.loop.checkpoint import load_checkpoint

pytestmark = pytest.mark.robot  # long: the robots' lane has time for it

STEPS = ["plan", "collect", "label", "train", "export", "check", "evaluate", "oversee", "decide"]


def test_a_round_of_corrections_counts_them_before_it_decides() -> None:
    assert [step.__name__ for step in steps_of(True)] == STEPS[1:]
    assert [step.__name__ for step in steps_of(False)] == [s for s in STEPS[1:] if s != "oversee"]


def test_a_policy_that_a_person_worked_for_has_to_be_better() -> None:
    good, some = [True] * 40, [True] * 30 + [False] * 10
    fewer, same = relieve([2] * 40, [1] * 40), relieve([2, 0] * 20, [0, 2] * 20)
    equal = judge({"place": some}, {"place": some})
    assert equal.activate and demand_better(equal, fewer).activate
    kept = demand_better(equal, same)
    assert not kept.activate and kept.reason.startswith("not better: as many successes, interv")
    assert demand_better(judge({"place": some}, {"place": good}), same).activate
    assert not demand_better(judge({"place": good}, {"place": some}), fewer).activate


def test_interventions_are_told_an_episode_and_their_difference_paired() -> None:
    relief = relieve([2, 1, 1, 0], [1, 0, 0, 0])
    assert (relief.n, relief.old, relief.new, relief.difference) == (4, 1.0, 0.25, -0.75)
    assert relief.interval[0] == -1.0
    decided = {"activated": False, "reason": "r", "tasks": {}}
    seen = {"relief": {"n": 4, "old": 1.0, "new": 0.25, "difference": -0.75, "interval": [-1, 0]}}
    assert told(decided, seen)[0] == (
        "interventions an episode: old 1.00, new 0.25 of 4; difference -0.75 [-1.00, +0.00]"
    )


@pytest.mark.slow
def test_a_killed_round_of_corrections_goes_on_and_keeps_the_old_bundle(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle, out = blind_exported(tmp_path_factory), tmp_path / "round"
    before, demos = files(bundle), str(bundle.parent / "demos")
    options = ("--interventions", "--own-successes", "--episodes", "2", "--data", demos)
    process = begin(bundle, out, *options)
    wait_for(out / "journal.jsonl", '"step": "train"')
    kill(process)

    finish(begin(bundle, out, *options))
    journal = rows(out)
    assert done(journal) == STEPS and files(bundle) == before
    results = {row["step"]: row["result"] for row in journal if row.get("done")}
    episodes = [EpisodeReader(Path(folder)) for folder in results["collect"]["folders"]]
    assert sum(int(reader.label()["interventions"]) for reader in episodes) >= 1
    assert {"/arbiter/owners", "/teleop/target_joint"} <= set(episodes[0].topics)
    learned = load_checkpoint(out / "train").provenance
    assert learned["options"]["interventions"] == {"own": True, "blame_s": 1.0}
    assert set(learned["data"]) == {"reach", "lift"}  # corrections, and the older demonstrations
    assert learned["started_from"]["bundle"] == load_bundle(bundle).sha256
    seen = results["oversee"]
    assert len(seen["old"]["reach"]["interventions"]) == seen["relief"]["n"] == 1
    chosen = out / "bundle" if results["decide"]["activated"] else bundle
    assert (out / "active").resolve() == chosen.resolve()
    refused = begin(bundle, out, *options[1:])
    text, _ = refused.communicate(timeout=100)
    assert refused.returncode != 0 and "needs --interventions" in text
