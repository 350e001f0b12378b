"""How few evaluations of the network a chunk needs: success on the same starts, count by count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.statistics import Comparison, compare
from arfm_ros.engines import load_bundle
from arfm_ros.evaluate.sweep import Outcomes, Plan, Steps, run_sweep

COUNTS = (8, 6, 5, 4, 3, 2, 1)
POINTS = 1.0  # of success that fewer evaluations may cost in a task


@dataclass(frozen=True, slots=True)
class Tried:
    """One count beside the bundle's own."""

    count: int
    tasks: dict[str, Comparison]  # B is this count

    @property
    def kept(self) -> bool:
        """Whether no task lost more than `POINTS`."""
        return all(100 * one.difference >= -POINTS for one in self.tasks.values())

    def as_json(self) -> dict[str, Any]:
        """Return what a model card says of it."""
        rows = {
            task: {"success": c.rate_b, "of": c.rate_a, "n": c.n, "interval": c.interval}
            for task, c in self.tasks.items()
        }
        return {"steps": self.count, "kept": self.kept, "tasks": rows}


def fewest_steps(plan: Plan, say: Callable[[str], None] = print) -> tuple[int, list[Tried]]:
    """Go down from the bundle's own count until a task loses more than `POINTS`.

    `plan` has one bundle, one delay and one mode. Returns the smallest count before that, and all
    that was tried. Raises `ConfigError` for a policy whose sampler has no count to choose.
    """
    spec = load_bundle(plan.bundles[0]).spec
    if spec.sampler.kind != "flow":
        raise ConfigError(f"{spec.name} is no flow ({spec.sampler.kind}): its steps stay")
    if spec.sampler.only_steps:
        raise ConfigError(f"{spec.name} was distilled to {spec.steps} steps: they stay")
    own = _by_task(run_sweep(replace(plan, steps=(Steps(spec.steps),))))
    chosen, tried = spec.steps, list[Tried]()
    for count in (one for one in COUNTS if one < spec.steps):
        fewer = _by_task(run_sweep(replace(plan, steps=(Steps(count),))))
        row = Tried(count, {task: compare(good, fewer[task]) for task, good in own.items()})
        tried.append(row)
        say(_told(row))
        if not row.kept:
            break
        chosen = count
    return chosen, tried


def _by_task(outcomes: Outcomes) -> dict[str, list[bool]]:
    return {cell.task: [r.success for r in results] for cell, results in outcomes.items()}


def _told(row: Tried) -> str:
    parts = [
        f"{task} {100 * c.rate_b:.1f} % ({100 * c.difference:+.1f})"
        for task, c in row.tasks.items()
    ]
    verdict = "kept" if row.kept else f"loses more than {POINTS:g} point in a task"
    return f"{row.count} steps: {', '.join(parts)}: {verdict}"
