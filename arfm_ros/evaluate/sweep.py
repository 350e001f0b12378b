"""Evaluations side by side on the same starts: bundles, steps, ways to join chunks, delays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.solvers.sampler import SOLVERS
from arfm_ros.core.values.joining import GUIDANCES, RTC_MODES, SCHEDULES
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.core.values.statistics import Comparison, compare
from arfm_ros.engines import load_bundle
from arfm_ros.evaluate.bundles import evaluate, summary
from arfm_ros.evaluate.rollout import RolloutResult, words_of
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.sim.perturb import read_change
from arfm_ros.sim.tasks import make_task

TOLD = "told:"  # before a task, whose words are said
OWN = "bundle"  # mode: chunks follow on as the bundle was exported for
MODES = (OWN, *RTC_MODES)


@dataclass(frozen=True, slots=True)
class Steps:
    """How a chunk is integrated: so many evaluations of the network, by which solver."""

    count: int
    solver: str = ""  # "": the bundle's

    @property
    def word(self) -> str:
        """As the command line takes it."""
        return f"{self.solver}:{self.count}" if self.solver else str(self.count)

    def __str__(self) -> str:
        return f"{self.count} steps" + (f" of {self.solver}" if self.solver else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate: every combination, `seeds` episodes of each."""

    bundles: tuple[Path, ...]
    tasks: tuple[str, ...]
    modes: tuple[str, ...]  # of MODES
    delays_ms: tuple[int, ...]
    seeds: range
    config: DriverConfig  # its latency, steps and guidance are the cells'
    workers: int = 2
    out: Path | None = None  # where finished episodes are kept
    steps: tuple[Steps | None, ...] = (None,)  # of an integration; None: the bundle's
    # of the world, see sim/perturb.py, or told:TASK, whose words are said; "": as learned
    changes: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    bundle: Path
    task: str
    mode: str
    delay_ms: int
    steps: Steps | None = None  # the bundle's
    change: str = ""  # of the world


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells that differ in bundle, mode, steps or world, and what that did."""

    a: Cell
    b: Cell
    comparison: Comparison


Outcomes = dict[Cell, list[RolloutResult]]
ASPECTS = ("bundle", "mode", "steps", "change")  # what is compared


def run_sweep(plan: Plan) -> Outcomes:
    """Evaluate all cells. Raises `ConfigError` before the first one for what cannot work."""
    _check(plan)
    return {cell: _evaluate(plan, cell) for cell in cells(plan)}


def cells(plan: Plan) -> Iterator[Cell]:
    """Yield the combinations; those to be compared with each other stand together."""
    for task, delay_ms, change, mode, steps, bundle in product(
        plan.tasks, plan.delays_ms, plan.changes, plan.modes, plan.steps, plan.bundles
    ):
        if change != f"{TOLD}{task}":  # its own words
            yield Cell(bundle, task, mode, delay_ms, steps, change)


def pairs(outcomes: Outcomes) -> list[Pair]:
    """Compare each cell with the one that has the first bundle, mode, steps or world instead."""
    found = []
    for b in outcomes:
        peers = [a for a in outcomes if (a.task, a.delay_ms) == (b.task, b.delay_ms)]
        for left_out in ASPECTS:
            rest = [one for one in ASPECTS if one != left_out]
            same = [a for a in peers if all(getattr(a, one) == getattr(b, one) for one in rest)]
            a = same[0]
            if a != b:
                good_a, good_b = ([r.success for r in outcomes[c]] for c in (a, b))
                found.append(Pair(a, b, compare(good_a, good_b)))
    return found


def report(plan: Plan, outcomes: Outcomes) -> dict[str, Any]:
    """Return results and comparisons for JSON.

    For one delay, mode and count of steps it is the summary of the task, `against` holding the
    other bundle's and `comparison` what they differ by; with several tasks `tasks` maps each to
    that. Otherwise `cells` and `comparisons` list all.
    """
    rows = {cell: _describe(plan, cell) | summary(outcomes[cell]) for cell in outcomes}
    compared = pairs(outcomes)
    if max(map(len, (plan.modes, plan.delays_ms, plan.steps, plan.changes))) > 1:
        notes = [
            {"a": _describe(plan, p.a), "b": _describe(plan, p.b)} | asdict(p.comparison)
            for p in compared
        ]
        return {"cells": list(rows.values()), "comparisons": notes}
    tasks = {cell.task: row for cell, row in rows.items() if cell.bundle == plan.bundles[0]}
    for pair in compared:
        tasks[pair.b.task] |= {"against": rows[pair.b], "comparison": asdict(pair.comparison)}
    return next(iter(tasks.values())) if len(tasks) == 1 else {"tasks": tasks}


def _describe(plan: Plan, cell: Cell) -> dict[str, Any]:
    return {
        "bundle": str(cell.bundle),
        "task": cell.task,
        "rtc": cell.mode,
        "delay_ms": cell.delay_ms,
        "steps": None if cell.steps is None else cell.steps.count,
        **({"solver": cell.steps.solver} if cell.steps and cell.steps.solver else {}),
        "action_noise": plan.config.action_noise,
        **({"perturb": cell.change} if cell.change else {}),
    }


def _evaluate(plan: Plan, cell: Cell) -> list[RolloutResult]:
    count, solver = (None, "") if cell.steps is None else (cell.steps.count, cell.steps.solver)
    mode, guidance, schedule = read_mode(cell.mode)
    config = replace(
        plan.config,
        latency_ms=cell.delay_ms,
        guide=mode != "none",
        guidance=guidance,
        schedule=schedule,
        steps=count,
        solver=solver,
        **_changed(cell.change),
    )
    return evaluate(cell.bundle, cell.task, plan.seeds, config, plan.workers, plan.out)


def _changed(change: str) -> dict[str, str]:
    """Return what a change is to the driver."""
    if change.startswith(TOLD):
        return {"told": change.removeprefix(TOLD)}
    return {"perturb": change}


def _check(plan: Plan) -> None:
    for task in plan.tasks:
        make_task(task)
    if not plan.seeds or plan.workers < 1:
        raise ConfigError(
            f"--episodes {len(plan.seeds)} and --workers {plan.workers} need to be at least 1"
        )
    if plan.config.action_noise < 0:
        raise ConfigError(f"--action-noise is {plan.config.action_noise:g}, needs 0 or more")
    for steps in filter(None, plan.steps):
        if steps.count < 1 or steps.solver not in {"", *SOLVERS}:
            raise ConfigError(f"--steps {steps}: needs at least 1, of one of {', '.join(SOLVERS)}")
    for bundle in plan.bundles:
        spec = load_bundle(bundle).spec
        _check_modes(plan.modes, bundle, spec.rtc.mode)
        for change in filter(None, plan.changes):
            _check_change(change, spec)


def _check_change(change: str, spec: PolicySpec) -> None:
    if change.startswith(TOLD):
        words_of(spec, change.removeprefix(TOLD))
    else:
        read_change(change)


def _check_modes(modes: Sequence[str], bundle: Path, able: str) -> None:
    for wanted in modes:
        mode, guidance, _ = read_mode(wanted)
        if mode not in {OWN, "none", able} and guidance != "identity":
            raise ConfigError(
                f"--rtc {wanted}: {bundle.name} can do '{able}' only; export it with --rtc {mode}"
            )


def read_mode(text: str) -> tuple[str, str, str]:
    """Read MODE, or guided:GUIDANCE, or guided:GUIDANCE:SCHEDULE; "" is as the bundle has it.

    Raises `ConfigError` naming what there is.
    """
    mode, guidance, schedule, *rest = [*text.split(":"), "", ""]
    for what, value, known in (
        ("mode", mode, MODES),
        ("guidance", guidance, ("", *GUIDANCES)),
        ("schedule", schedule, ("", *SCHEDULES)),
    ):
        if value not in known:
            raise ConfigError(
                f"--rtc {text}: there is no {what} '{value}', give one of "
                f"{', '.join(filter(None, known))}"
            )
    if any(rest) or (guidance and mode != "guided"):
        raise ConfigError(f"--rtc {text}: give guided:GUIDANCE:SCHEDULE, or a mode alone")
    return mode, guidance, schedule
