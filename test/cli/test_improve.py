"""A round of improvement goes on where it was killed, loses nothing, and decides by its rule."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from improve_rig import begin, done, finish, kill, rows
from learn_rig import exported, write_episode

from arfm_ros.cli import improve as verb
from arfm_ros.cli.train import train_config
from arfm_ros.core.errors import ConfigError
from arfm_ros.engines import load_bundle
from arfm_ros.improve.journal import Journal
from arfm_ros.improve.plan import Plan
from arfm_ros.improve.survey import counts, survey
from arfm_ros.improve.verdict import judge
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.objectives.arfm import PAPER, Arfm
from arfm_ros.learn.objectives.rwr import Rwr
from arfm_ros.links import activate, check_link

pytestmark = pytest.mark.robot  # long: the robots' lane has time for it

STEPS = ["plan", "collect", "label", "train", "export", "check", "evaluate", "decide"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[1]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_arfm_s_knobs_suit_success_or_failure_unless_others_are_given() -> None:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)

    def objective(*words: str) -> object:
        args = parser.parse_args(["bundle", "--out", "round", "--steps", "1", *words])
        return train_config(args).objective

    assert objective() == Arfm(lam=2.0, moments="batch", normaliser="data")
    own = objective("--lambda", "5e-4", "--moments", "gaussian")
    assert (
        own
        == Arfm(lam=5e-4, moments="gaussian")
        == Arfm(**PAPER | {"normaliser": "data", "ess_min": 0.1})
    )
    assert objective("--paper") == Arfm(**PAPER)
    assert objective("--paper", "--lambda", "1") == Arfm(**PAPER | {"lam": 1.0})
    assert objective("--objective", "rwr") == Rwr()


@pytest.mark.slow
def test_a_killed_round_goes_on_and_the_old_bundle_stays(bundle: Path, tmp_path: Path) -> None:
    data, out, link = bundle.parent / "data", tmp_path / "round", tmp_path / "in_use"
    before = files(bundle)
    options = ("--from-episodes", str(data), "--activate", str(link))
    process = begin(bundle, out, *options)
    wait_for(out / "journal.jsonl", '"step": "train"')
    kill(process)
    assert (out / "active").resolve() == bundle.resolve() and not link.exists()
    assert done(rows(out)) == STEPS[: done(rows(out)).index("label") + 1]

    said = finish(begin(bundle, out, *options, "--json", str(tmp_path / "results.json")))
    assert done(rows(out)) == STEPS and "collect (done before)" in said
    assert files(bundle) == before
    results = json.loads((tmp_path / "results.json").read_text())
    new, old = load_bundle(out / "bundle"), load_bundle(bundle)
    assert results["export"]["sha256"] == new.sha256 != old.sha256
    assert new.provenance["started_from"]["bundle"] == old.sha256
    assert results["check"]["passed"] and results["label"]["tasks"]["lift"]["successes"] == 3
    starts = {name: len(results["evaluate"][name]["reach"]) for name in ("old", "new")}
    assert starts == {"old": 1, "new": 1}
    chosen = out / "bundle" if results["decide"]["activated"] else bundle
    assert (out / "active").resolve() == chosen.resolve()
    assert link.exists() == results["decide"]["activated"]

    journal = (out / "journal.jsonl").read_text()
    assert "decide (done before)" in finish(begin(bundle, out, *options))
    assert (out / "journal.jsonl").read_text() == journal


def wait_for(path: Path, text: str) -> None:
    end = time.monotonic() + 200.0
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end, f"no {text} in {path}"
        time.sleep(0.05)


@pytest.mark.slow
def test_whenever_it_is_killed_a_round_ends_as_if_it_had_not_been(
    bundle: Path, tmp_path: Path
) -> None:
    out, rng, kills = tmp_path / "round", np.random.default_rng(0), 0
    process = begin(bundle, out, "--episodes", "2")
    while True:
        try:
            process.wait(timeout=float(rng.uniform(2.0, 15.0 + 5.0 * kills)))
            break
        except subprocess.TimeoutExpired:
            kill(process)
            kills += 1
            process = begin(bundle, out, "--episodes", "2")
    assert finish(process) and kills >= 1
    journal = rows(out)
    assert done(journal) == STEPS
    episodes = sorted(path.name for path in (out / "episodes").iterdir() if path.is_dir())
    assert len(episodes) == 2 and all(name.startswith("policy_reach_") for name in episodes)


def test_a_journal_passes_over_half_a_line_and_does_that_step_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin({"tasks": ("reach",)})
        assert journal.once("collect", lambda: {"n": 1}) == {"n": 1}
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"step": "train", "done": true, "resu')
    with Journal(tmp_path) as journal:
        journal.begin({"tasks": ("reach",)})
        assert journal.once("collect", lambda: {"n": 2}) == {"n": 1}
        assert journal.once("train", lambda: {"n": 3}) == {"n": 3}
    with Journal(tmp_path) as journal:
        assert journal.has("train")


def test_a_folder_takes_one_process_and_one_set_of_options(tmp_path: Path) -> None:
    with Journal(tmp_path / "run") as journal:
        journal.begin({"episodes": 5})
        with pytest.raises(ConfigError, match="another process is at work"):
            Journal(tmp_path / "run")
    with Journal(tmp_path / "run") as journal:
        with pytest.raises(ConfigError, match="episodes was 5, is 6"):
            journal.begin({"episodes": 6})
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "mine.txt").write_text("mine")
    with Journal(tmp_path / "else") as journal, pytest.raises(ConfigError, match="mine.txt"):
        journal.begin({})


def test_a_policy_that_is_not_worse_is_activated() -> None:
    good, bad = [True] * 40, [False] * 40
    same = judge({"lift": good}, {"lift": good})
    assert same.activate and same.reason == "not worse: 40 of 40 starts against 40"
    assert judge({"lift": bad}, {"lift": good}).activate
    assert not judge({"lift": good}, {"lift": [False, *good[1:]]}).activate


def test_one_task_is_not_paid_for_with_another() -> None:
    good, bad = [True] * 40, [False] * 40
    verdict = judge({"lift": bad, "reach": good}, {"lift": good, "reach": bad})
    assert not verdict.activate and "worse on reach" in verdict.reason
    assert verdict.overall.difference == 0.0


def test_a_link_moves_at_once_and_overwrites_nothing_else(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    link = tmp_path / "active"
    activate(link, tmp_path / "old")
    activate(link, tmp_path / "new")
    assert link.resolve() == (tmp_path / "new").resolve()
    with pytest.raises(ConfigError, match="is no symbolic link"):
        activate(tmp_path / "old", tmp_path / "new")
    with pytest.raises(ConfigError, match="there is no folder"):
        check_link(tmp_path / "nowhere" / "active")
    assert sorted(os.listdir(tmp_path)) == ["active", "new", "old"]


def test_a_survey_names_what_it_leaves_out_and_needs_a_label(tmp_path: Path) -> None:
    whole = [
        write_episode(tmp_path / f"{n}", n, success=label)
        for n, label in enumerate((True, False, None))
    ]
    (broken := tmp_path / "broken").mkdir()
    (broken / "episode_0.mcap").write_bytes(b"no bag")
    said: list[str] = []
    rows = survey([*whole, broken], "", said.append)
    assert counts(rows) == {"lift": {"episodes": 3, "successes": 1, "unlabelled": 1}}
    assert said[0].startswith("skipped broken: ") and "1 of 3 episodes have no label" in said[1]
    with pytest.raises(ConfigError, match="service recorder/label"):
        survey([whole[2], broken], "", said.append)


def test_every_round_sees_other_starts(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, ("reach",), TrainConfig(steps=1))
    first, second = (plan.seeds(f"{n:08x}{'0' * 56}") for n in (1, 2))
    starts = [range(seed, seed + 50_000) for seed in (*first, *second)]
    ends = sorted((row.start, row.stop) for row in starts)
    assert all(a[1] <= b[0] for a, b in zip(ends, ends[1:]))
    assert ends[0][0] > 1_000_000 + 50_000  # those of `arfm eval`


def test_nothing_to_collect_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--eval-episodes 0"):
        Plan(tmp_path, tmp_path, ("reach",), TrainConfig(steps=1), eval_episodes=0)


def test_the_verdict_is_told_in_points() -> None:
    from dataclasses import asdict

    judged = judge({"lift": [False] * 4}, {"lift": [True] * 4})
    told = verb.verdict({
        "activated": True,
        "reason": judged.reason,
        "tasks": {task: asdict(row) for task, row in judged.tasks.items()},
    })
    assert told[0].startswith("lift: old 0.0 %, new 100.0 % of 4; difference +100.0 [")
    assert told[1] == "activated the new bundle: not worse: 4 of 4 starts against 0"
