"""The same bundle with another count of steps: its graphs stay, its specification says it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.engines.bundle import PARITY, POLICY, load_bundle
from arfm_ros.engines.gate.freeze import guidance_report
from arfm_ros.engines.gate.proof import proof
from arfm_ros.engines.gate.replay import Parity, load_reference, replay
from arfm_ros.engines.load import load_policy
from arfm_ros.export.card import CARD, EVALUATIONS, write_card

OF_ITS_OWN = (PARITY, CARD, EVALUATIONS, "engines")  # what holds for the count before alone


def with_steps(
    bundle: Path, out: Path, steps: int, tried: Sequence[dict[str, Any]] = ()
) -> Parity:
    """Write `bundle` to the folder `out` with `steps` as its count; `tried` is kept as the reason.

    Engines are built again from there, and success is measured again. Raises `BundleError` for a
    folder that holds something else, `ConfigError` for a policy that has no count to choose.
    """
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    spec = load_bundle(bundle).spec
    if spec.sampler.kind == "regression" or steps < 1:
        raise ConfigError(f"{spec.name} ({spec.sampler.kind}) cannot take {steps} steps")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(bundle, draft, ignore=lambda _, names: {*OF_ITS_OWN} & {*names})
    raw = json.loads((draft / POLICY).read_text())
    raw["spec"] = json.loads(replace(spec, steps=steps).to_json())
    raw.setdefault("provenance", {})["flow_steps"] = {"before": spec.steps, "tried": [*tried]}
    (draft / POLICY).write_text(json.dumps(raw, indent=1) + "\n")
    policy, reference = load_policy(draft), load_reference(draft)
    parity = replay(policy, reference)
    record = proof(load_bundle(draft), policy.runtime, parity) | _timing(bundle)
    record |= guidance_report(policy, reference) if spec.rtc.mode != "none" else {}
    (draft / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    if not parity.passed:
        raise BundleError(f"{bundle} does not pass its own check: arfm check {bundle}")
    write_card(draft)
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return parity


def _timing(bundle: Path) -> dict[str, Any]:
    """Keep how fast the bundle was, at the count that is said there."""
    path = bundle / PARITY
    before = json.loads(path.read_text()) if path.is_file() else {}
    return {"timing": before["timing"]} if "timing" in before else {}
