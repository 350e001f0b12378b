"""The steps of a round, in their order; each may have been interrupted before and goes on.

A step takes the plan and what the steps before it gave, and returns what the journal keeps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError
from arfm_ros.core.sharing.modes import POLICY as DRIVES
from arfm_ros.core.values.statistics import wilson
from arfm_ros.engines import Bundle, load_bundle, load_policy
from arfm_ros.engines.bundle import POLICY
from arfm_ros.engines.gate.replay import load_reference, replay
from arfm_ros.episodes.authorities import PERSONS
from arfm_ros.evaluate.bundles import evaluate as run_episodes
from arfm_ros.evaluate.collect import CollectOptions
from arfm_ros.evaluate.rollout import SCRIPTED
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.card import write_card
from arfm_ros.export.running import Running
from arfm_ros.improve.plan import ACTIVE, BUNDLE, EPISODES, RESULTS, TRAIN, Plan
from arfm_ros.improve.survey import counts, survey
from arfm_ros.improve.verdict import Relief, demand_better, judge
from arfm_ros.learn.data.frames import find_episodes
from arfm_ros.learn.loop import begin as session
from arfm_ros.learn.loop.checkpoint import NAME as CHECKPOINT
from arfm_ros.links import activate
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.sim.record.batch import Batch, note_command, record_batch

Result = dict[str, Any]
LABELS = "labels.json"
LEARNED_FROM = (DRIVES, *PERSONS)  # a disturbance on purpose is nothing to imitate


@dataclass(frozen=True, slots=True)
class Round:
    """What a step works on; `results` holds what the steps before it gave."""

    plan: Plan
    old: Bundle
    say: Callable[[str], None] = print
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def new(self) -> Path:
        """The new bundle's folder."""
        return self.plan.out / BUNDLE


def collect(work: Round) -> Result:
    """Have the policy drive in the simulator, or take what was recorded on a robot.

    Where corrections are learned from, a scripted person watches it and takes over.
    """
    plan = work.plan
    if plan.recorded is not None:
        return {"folders": [str(path) for path in find_episodes((plan.recorded,))]}
    out, (seed, _) = plan.out / EPISODES, plan.seeds(work.old.sha256)
    corrected = plan.interventions is not None
    name = "corrected_{task}" if corrected else "policy_{task}"
    driver = DriverConfig(human=SCRIPTED if corrected else "")
    batch = Batch(plan.tasks, plan.episodes, seed, out, name)
    note_command(out, plan.command)
    record_batch(batch, CollectOptions(plan.bundle, driver), plan.workers)
    return {"folders": [str(path) for path in find_episodes((out,))], "seed": seed}


def label(work: Round) -> Result:
    """Read what the labels say; what cannot be used is named and left out."""
    folders = [Path(folder) for folder in work.results["collect"]["folders"]]
    rows = survey(folders, work.old.sha256, work.say)
    _write(work.plan.out / LABELS, [row.as_json() for row in rows])
    found = counts(rows)
    for task, row in found.items():
        work.say(f"{task or 'no task'}: {row['successes']} of {row['episodes']} succeeded")
    return {"tasks": found, "folders": [row.folder for row in rows if not row.damage]}


def train(work: Round) -> Result:
    """Post-train the policy's own weights on these episodes and the older data."""
    plan = work.plan
    out = plan.out / TRAIN
    out.mkdir(exist_ok=True)
    fresh = [plan.out / EPISODES]
    if plan.recorded is not None:  # what came there since is not part of this round
        fresh = [Path(folder) for folder in work.results["label"]["folders"]]
    task = session.Plan(
        data=(*fresh, *plan.data),
        out=out,
        train=plan.train,
        authority=() if plan.interventions else LEARNED_FROM,
        interventions=plan.interventions,
        init=plan.bundle,
        resume=(out / CHECKPOINT).exists(),
    )
    saved = session.start(task, plan.command, work.say)
    if plan.train.progress(saved.step, saved.elapsed_s) < 1.0:
        work.say("stopped; the same command goes on from here")
        raise KeyboardInterrupt
    return {"steps": saved.step, "seconds": round(saved.elapsed_s, 1), **saved.validation}


def export(work: Round) -> Result:
    """Turn the checkpoint into a bundle beside the old one."""
    plan, spec = work.plan, work.old.spec
    if not (work.new / POLICY).exists():  # it appears there whole, or not at all
        name = f"{work.old.name}_{plan.out.resolve().name}"
        export_bundle(
            plan.out / TRAIN, work.new, name, running=Running(spec.rtc.mode), say=work.say
        )
    new = load_bundle(work.new)
    return {"bundle": BUNDLE, "name": new.name, "sha256": new.sha256}


def check(work: Round) -> Result:
    """Replay the new bundle's reference here and compare what it wants with the old one."""
    try:
        new, spec = load_bundle(work.new), work.old.spec
        cameras = [camera.name for camera in spec.cameras]
        objects = [name for name in spec.state_names if name not in spec.action_names]
        new.check_robot(spec.action_names, cameras, 1e-9 * spec.dt_ns, objects)
        parity = replay(load_policy(work.new), load_reference(work.new))
    except BundleError as error:
        return {"passed": False, "reason": str(error)}
    reason = "" if parity.passed else "it differs from torch on this machine"
    return {"passed": parity.passed, "reason": reason, "parity": asdict(parity)}


def evaluate(work: Round) -> Result:
    """Run both policies from the same starts, which neither was trained on."""
    plan, found = work.plan, dict[str, dict[str, list[bool]]]()
    if not work.results["check"]["passed"]:
        return {}
    _, seed = plan.seeds(work.old.sha256)
    seeds = range(seed, seed + plan.eval_episodes)
    for name, folder in (("old", plan.bundle), ("new", work.new)):
        found[name] = {}
        for task in plan.tasks:
            results = run_episodes(
                folder, task, seeds, DriverConfig(), plan.workers, plan.out / RESULTS
            )
            found[name][task] = [result.success for result in results]
    write_card(work.new, _card_rows(found["new"], seed))
    return {"seed": seed, **found}


def decide(work: Round) -> Result:
    """Move the links to the new bundle if it is not worse than the old one."""
    plan, checked, found = work.plan, work.results["check"], work.results["evaluate"]
    if not checked["passed"]:
        return {"activated": False, "reason": f"failed its check: {checked['reason']}"}
    verdict = judge(found["old"], found["new"])
    seen = work.results.get("oversee")
    if seen:
        verdict = demand_better(verdict, Relief(**seen["relief"]))
    if verdict.activate:
        for link in filter(None, (plan.out / ACTIVE, plan.activate)):
            activate(link, work.new)
    return {
        "activated": verdict.activate,
        "reason": verdict.reason,
        "overall": asdict(verdict.overall),
        "tasks": {task: asdict(row) for task, row in verdict.tasks.items()},
    }


Step = Callable[[Round], Result]
STEPS: tuple[Step, ...] = (
    collect,
    label,
    train,
    export,
    check,
    evaluate,
    decide,
)


def _card_rows(successes: Mapping[str, list[bool]], seed: int) -> dict[str, Any]:
    rows = {}
    for task, row in successes.items():
        good, n = sum(row), len(row)
        command = f"./arfm eval {BUNDLE} --task {task} --episodes {n} --seed {seed}"
        rows[task] = {"success_rate": good / n, "n": n, "interval": wilson(good, n)}
        rows[task]["command"] = command
    return rows


def _write(path: Path, value: object) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, indent=1) + "\n")
    draft.replace(path)
