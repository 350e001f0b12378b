"""Write a bundle: graphs, specification, reference vectors, parity, model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import BundleError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.bundle import (
    CHUNK,
    CHUNK_RTC,
    PARITY,
    POLICY,
    PREFIX,
    REFERENCE,
    STEP,
    STEP_RTC,
    WEIGHTS,
    file_sha256,
    load_bundle,
)
from arfm_ros.engines.gate.freeze import guidance_report
from arfm_ros.engines.gate.proof import proof
from arfm_ros.engines.gate.replay import Parity, load_reference, replay
from arfm_ros.engines.load import load_policy
from arfm_ros.export.card import write_card
from arfm_ros.export.graphs.chunk import export_chunk_graphs
from arfm_ros.export.graphs.onnx import OPSET, export_graphs
from arfm_ros.export.graphs.rtc import export_guided_step, export_prefix_step
from arfm_ros.export.graphs.weights import share_weights
from arfm_ros.export.reference import make_reference, save_reference
from arfm_ros.export.running import AS_TRAINED, Running
from arfm_ros.export.timing import measure
from arfm_ros.learn.data.dataset import split_episodes
from arfm_ros.learn.data.frames import Frames, open_frames
from arfm_ros.learn.loop.begin import frames_config
from arfm_ros.learn.loop.checkpoint import Checkpoint, build_policy, load_checkpoint, stage
from arfm_ros.learn.loop.validate import pick_rows
from arfm_ros.learn.model.from_bundle import sizes_to_json
from arfm_ros.learn.model.network import FlowPolicy

OBSERVATIONS = 8


def export_bundle(
    run: Path,
    out: Path,
    name: str,
    threads: int = 2,
    running: Running = AS_TRAINED,
    say: Callable[[str], None] = print,
) -> Parity:
    """Export the checkpoint of a run folder as bundle `name` into the folder `out`.

    Written beside `out` first and moved there when it passed its own check. Raises `BundleError`
    if it did not. Both runtimes are timed with `threads` threads.
    """
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    torch.set_num_threads(1)  # small tensors: more threads only wait for each other
    checkpoint = load_checkpoint(run)
    cache = (run if run.is_dir() else run.parent) / "cache"
    frames = open_frames(cache, frames_config(checkpoint.config))
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    say("exporting the graphs")
    spec = replace(running.of(checkpoint.spec), name=name)
    named = replace(checkpoint, spec=spec)
    parity = _fill(draft, named, frames, threads)
    if not parity.passed:
        raise BundleError(
            f"the exported graphs differ from torch: {parity.max_step_error:.1e} per step, "
            f"{parity.max_guided_error:.1e} per guided step, "
            f"{parity.max_chunk_error:.1e} per chunk, allowed {parity.limits.step:.0e}; "
            f"see {draft}"
        )
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return parity


def _fill(folder: Path, checkpoint: Checkpoint, frames: Frames, threads: int) -> Parity:
    model, spec = build_policy(checkpoint), checkpoint.spec
    write_graphs(folder, model, spec, _provenance(checkpoint), sizes_to_json(model.config))
    options = checkpoint.provenance.get("options", {})
    rows, held = split_episodes(frames, options.get("held_out", 0.05), options.get("seed", 0))
    picked = pick_rows(held if len(held) else rows, OBSERVATIONS)
    reference = make_reference(model, spec, frames, picked)
    save_reference(reference, folder / REFERENCE)
    return prove_and_time(folder, model, threads)


def write_graphs(
    folder: Path,
    model: FlowPolicy,
    spec: PolicySpec,
    provenance: Mapping[str, Any],
    notes: Mapping[str, str],
) -> None:
    """Write the graphs of `model`, the weights that they share with `notes`, and policy.json."""
    export_graphs(model, folder)
    if spec.rtc.mode != "none":
        (export_guided_step if spec.rtc.mode == "guided" else export_prefix_step)(model, folder)
    if spec.sampler.kind == "flow":
        export_chunk_graphs(model, folder, spec.rtc.mode == "prefix")
    known = (PREFIX, STEP, STEP_RTC, CHUNK, CHUNK_RTC)
    graphs = [n for n in known if (folder / n).exists()]
    values = {name: value.numpy() for name, value in model.state_dict().items()}
    store = folder / WEIGHTS
    share_weights([folder / n for n in graphs], store, values, notes)
    raw = {
        "spec": json.loads(spec.to_json()),
        "sha256": {graph: file_sha256(folder / graph) for graph in [*graphs, WEIGHTS]},
        "provenance": provenance,
    }
    (folder / POLICY).write_text(json.dumps(raw, indent=1) + "\n")


def prove_and_time(folder: Path, model: FlowPolicy, threads: int) -> Parity:
    """Replay the reference in `folder` and time both runtimes; write parity.json and the card."""
    policy, reference = load_policy(folder, threads=threads), load_reference(folder)
    parity = replay(policy, reference)
    timing = measure(model, policy, reference, threads)
    record = proof(load_bundle(folder), policy.runtime, parity) | {"timing": timing.as_json()}
    record |= guidance_report(policy, reference) if policy.spec.rtc.mode != "none" else {}
    (folder / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    write_card(folder)
    return parity


def _provenance(checkpoint: Checkpoint) -> dict[str, Any]:
    made = {"torch": str(torch.__version__), "opset": OPSET}
    return stage(checkpoint) | {"exported_with": made}
