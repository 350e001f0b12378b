"""A whole round: the steps that are not done yet, one after another, all noted in one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from arfm_ros.core.errors import BundleError
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.gate.replay import load_reference, replay
from arfm_ros.improve.journal import Journal
from arfm_ros.improve.oversight import steps_of
from arfm_ros.improve.plan import ACTIVE, Plan
from arfm_ros.improve.steps import Result, Round
from arfm_ros.learn.model.from_bundle import bundle_checkpoint
from arfm_ros.links import activate, check_link

Say = Callable[[str], None]


def improve(
    plan: Plan, say: Say = print, steps: Sequence[Callable[[Round], Result]] | None = None
) -> dict[str, Any]:
    """Do what is left of the round in `plan.out` and return every step's result.

    Interrupted at any moment, the same call goes on. Raises `ConfigError` if the folder holds a
    round with other options or the bundle cannot be trained, `BundleError` if it does not run
    here as it should.
    """
    steps = steps or steps_of(plan.interventions is not None)
    old = load_bundle(plan.bundle)
    work = Round(plan, old, say)
    if plan.activate is not None:
        check_link(plan.activate)
    with Journal(plan.out) as journal:
        journal.begin(plan.as_json(old.sha256))
        if not os.path.lexists(plan.out / ACTIVE):
            _prove(plan)
            activate(plan.out / ACTIVE, plan.bundle)
        for number, step in enumerate(steps, 1):
            name, known = step.__name__, journal.has(step.__name__)
            say(f"[{number}/{len(steps)}] {name}{' (done before)' if known else ''}")
            work.results[name] = journal.once(name, partial(step, work))
    return work.results


def _prove(plan: Plan) -> None:
    """Raise an error now, not after hours, if the old bundle does not run or train here."""
    bundle_checkpoint(plan.bundle)
    parity = replay(load_policy(plan.bundle), load_reference(plan.bundle))
    if not parity.passed:
        raise BundleError(
            f"{plan.bundle} differs from its reference on this machine "
            f"({parity.max_chunk_error:.1e} per chunk): run `arfm check {plan.bundle}`"
        )
