"""The gate of a new bundle, in a process of its own: torch and its network take no room there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arfm_ros.engines.bundle import PARITY, WEIGHTS, load_bundle
from arfm_ros.engines.gate.freeze import freeze_errors, guidance_report
from arfm_ros.engines.gate.fresh import require_state_in_step
from arfm_ros.engines.gate.proof import proof
from arfm_ros.engines.gate.replay import Parity, Reference, load_reference, replay
from arfm_ros.engines.load import load_policy
from arfm_ros.export.vla.card import write_vla_card
from arfm_ros.workers import worker_pool

LARGE = 2**30  # bytes of weights


def prove(
    folder: Path, say: Callable[[str], None], notes: Mapping[str, Any] | None = None
) -> Parity:
    """Compare the bundle's graphs with its reference, and write parity.json and the card.

    `notes` are kept in parity.json.
    """
    say("comparing the graphs with it, in another process")
    with worker_pool(1) as workers:
        (parity,) = workers.in_order(_prove, [(folder, notes or {})])
    return parity


def _following_on(folder: Path, policy: Any, reference: Reference) -> dict[str, Any]:
    """Measure how well frozen actions stay, and of a small network what that costs.

    A round of timing takes a large one minutes: `arfm bench` is for that.
    """
    if reference.guided is None:
        return {}
    if (folder / WEIGHTS).stat().st_size <= LARGE:
        return guidance_report(policy, reference)
    freeze = freeze_errors(policy, reference)
    return {"freeze_error": {name: round(value, 4) for name, value in freeze.items()}}


def _prove(job: tuple[Path, Mapping[str, Any]]) -> Parity:
    folder, notes = job
    reference = load_reference(folder)
    policy = load_policy(folder)
    parity, spec = replay(policy, reference), policy.spec
    if spec.state_in_step:
        require_state_in_step(policy, spec, policy.encode(spec.example(seed=0)))
    more = _following_on(folder, policy, reference)
    record = proof(load_bundle(folder), policy.runtime, parity) | more | notes
    (folder / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    write_vla_card(folder)
    return parity
