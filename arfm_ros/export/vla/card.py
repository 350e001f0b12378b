"""The model card of a bundle whose network another library trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arfm_ros.engines.bundle import PARITY, POLICY
from arfm_ros.export.card import CARD, guidance


def write_vla_card(bundle: Path) -> Path:
    """Write `bundle`/README.md from its JSON files."""
    policy = json.loads((bundle / POLICY).read_text())
    parity = json.loads((bundle / PARITY).read_text())
    spec = policy["spec"]
    parts = [_head(policy), _inputs(spec), _runtime(policy, parity), guidance(parity, spec)]
    path = bundle / CARD
    path.write_text("\n".join(part for part in [*parts, _limits()] if part))
    return path


def _head(policy: dict[str, Any]) -> str:
    spec = policy["spec"]
    words = ", joint positions and an instruction" if _reads(spec) else " and joint positions"
    said = "\n".join(f'- "{text}"' for text in spec["instructions"].values())
    example = f"\nAn instruction as the interface file gave it:\n{said}\n" if _reads(spec) else ""
    return (
        f"# {spec['name']}\n\n"
        f"The network of a checkpoint of {policy['provenance']['network']}: camera images{words} "
        f"in, a chunk of {spec['horizon']} actions out.\n{example}"
    )


def _reads(spec: dict[str, Any]) -> bool:
    return bool(spec["language"]["mode"] != "none")


def _sampler(spec: dict[str, Any]) -> str:
    kind, steps = spec["sampler"]["kind"], spec["steps"]
    if kind == "regression":
        return "all at once, without noise"
    levels = len(spec["sampler"]["alphas_cumprod"])
    of = f", the noise has {levels} levels" if levels else ""
    return f"{steps} {kind.upper() if levels else kind} steps by default{of}"


def _history(spec: dict[str, Any]) -> str:
    history = spec["history"]
    if history["count"] == 1:
        return ""
    return f"- sees {history['count']} observations, {history['spacing_ns'] / 1e6:g} ms apart\n"


def _inputs(spec: dict[str, Any]) -> str:
    cameras = ", ".join(
        f"`{c['name']}` {c['width']}x{c['height']} ({c['filter']}, padding: {c['pad']})"
        for c in spec["cameras"]
    )
    axes = zip(spec["action"], spec["relative"])
    actions = ", ".join(f"{a['name']}{' (relative)' if r else ''}" for a, r in axes)
    language = spec["language"]
    words = f"- text: `{json.dumps(language['template'])}`, at most {language['length']} tokens\n"
    return (
        "## Inputs and outputs\n\n"
        f"- cameras, RGB: {cameras}\n"
        f"- state: {', '.join(axis['name'] for axis in spec['state'])}; {_taken(spec)}\n"
        f"- actions: {actions}; one every {spec['dt_ns'] / 1e6:g} ms, {_sampler(spec)}\n"
        f"{_history(spec)}{words if _reads(spec) else ''}"
        "- normalization: the checkpoint's\n"
    )


def _taken(spec: dict[str, Any]) -> str:
    if spec.get("state_in_step"):
        return "the step takes it: with `fast_slow` it may be newer than the pictures"
    return "the prefix takes it: it is as old as the pictures"


def _runtime(policy: dict[str, Any], parity: dict[str, Any]) -> str:
    return (
        "## Runtime\n\n"
        f"- ONNX against the library's own sampler, torch "
        f"{policy['provenance']['exported_with']['torch']}, on {parity['observations']} made-up "
        f"observations: {parity['max_step_error']:.1e} per step, "
        f"{parity['max_chunk_error']:.1e} for the chunk (normalised units), cosine "
        f"{parity['cosine']:.7f}\n"
        "- check it on your machine: `./arfm check` with this folder\n"
    )


def _limits() -> str:
    return (
        "## Limits\n\n"
        "What the network has learned, and its licence, are the checkpoint's. Nobody has measured "
        "its success with this bundle: `./arfm eval` does.\n"
    )
