"""How often a person has to step in: with the old policy, and with the new one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from arfm_ros.evaluate.bundles import evaluate as run_episodes
from arfm_ros.evaluate.rollout import SCRIPTED
from arfm_ros.improve.plan import RESULTS
from arfm_ros.improve.steps import STEPS, Result, Round, Step
from arfm_ros.improve.verdict import relieve
from arfm_ros.sim.drive.driver import DriverConfig

OVERSEEN = DriverConfig(human=SCRIPTED)


def oversee(work: Round) -> Result:
    """Run both policies from the same starts while the scripted person watches and corrects."""
    plan = work.plan
    if not work.results["check"]["passed"]:
        return {}
    _, seed = plan.seeds(work.old.sha256)
    old, new = (_watched(work, folder, seed) for folder in (plan.bundle, work.new))
    taken = [
        [count for row in one.values() for count in row["interventions"]] for one in (old, new)
    ]
    return {"seed": seed, "old": old, "new": new, "relief": asdict(relieve(*taken))}


def steps_of(corrected: bool) -> tuple[Step, ...]:
    """Return the steps of a round; one that learns from corrections also counts them."""
    return (*STEPS[:-1], oversee, STEPS[-1]) if corrected else STEPS


def _watched(work: Round, bundle: Path, seed: int) -> dict[str, dict[str, list[float]]]:
    plan, found = work.plan, dict[str, dict[str, list[float]]]()
    seeds = range(seed, seed + plan.eval_episodes)
    for task in plan.tasks:
        results = run_episodes(bundle, task, seeds, OVERSEEN, plan.workers, plan.out / RESULTS)
        found[task] = {
            "interventions": [result.interventions for result in results],
            "human_s": [round(result.human_s, 3) for result in results],
            "success": [result.success for result in results],
        }
    return found
