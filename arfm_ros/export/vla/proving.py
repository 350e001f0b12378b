"""The gate of a new bundle, in a process of its own: torch and its network take no room there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from arfm_ros.engines.bundle import PARITY, load_bundle
from arfm_ros.engines.gate.freeze import guidance_report
from arfm_ros.engines.gate.fresh import require_state_in_step
from arfm_ros.engines.gate.proof import proof
from arfm_ros.engines.gate.replay import Parity, load_reference, replay
from arfm_ros.engines.load import load_policy
from arfm_ros.export.vla.card import write_vla_card
from arfm_ros.workers import worker_pool


def prove(folder: Path, say: Callable[[str], None]) -> Parity:
    """Compare the bundle's graphs with its reference, and write parity.json and the card."""
    say("comparing the graphs with it, in another process")
    with worker_pool(1) as workers:
        (parity,) = workers.in_order(_prove, [folder])
    return parity


def _prove(folder: Path) -> Parity:
    reference = load_reference(folder)
    policy = load_policy(folder)
    parity, spec = replay(policy, reference), policy.spec
    if spec.state_in_step:
        require_state_in_step(policy, spec, policy.encode(spec.example(seed=0)))
    more = guidance_report(policy, reference) if reference.guided is not None else {}
    record = proof(load_bundle(folder), policy.runtime, parity) | more
    (folder / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    write_vla_card(folder)
    return parity
