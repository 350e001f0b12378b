"""The same bundle with its graphs written anew, as this version makes them of the weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from arfm_ros.core.errors import BundleError
from arfm_ros.engines.bundle import POLICY, REFERENCE
from arfm_ros.engines.gate.replay import Parity
from arfm_ros.export.bundle import prove_and_time, write_graphs
from arfm_ros.export.card import EVALUATIONS
from arfm_ros.export.graphs.onnx import OPSET
from arfm_ros.learn.loop.checkpoint import build_policy
from arfm_ros.learn.model.from_bundle import bundle_checkpoint, bundle_notes


def write_again(
    bundle: Path, out: Path, threads: int = 2, say: Callable[[str], None] = print
) -> Parity:
    """Write the graphs of `bundle` anew to the folder `out`, from the weights that it holds.

    Reference, specification and measured success stay; parity, timing and card are new. Engines
    are built again from there. Raises `ConfigError` for a network that was not trained here,
    `BundleError` where the new graphs differ from the reference.
    """
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    torch.set_num_threads(1)
    checkpoint = bundle_checkpoint(bundle)
    if not (bundle / REFERENCE).is_file():
        raise BundleError(f"{bundle} has no {REFERENCE}: nothing would show that it is the same")
    before = json.loads((bundle / POLICY).read_text())
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    say("writing the graphs")
    model = build_policy(checkpoint)
    made = {"torch": str(torch.__version__), "opset": OPSET}
    provenance = {**before.get("provenance", {}), "exported_with": made}
    write_graphs(draft, model, checkpoint.spec, provenance, bundle_notes(bundle))
    for name in (REFERENCE, EVALUATIONS):
        if (bundle / name).is_file():
            shutil.copy(bundle / name, draft / name)
    say("comparing them with the reference")
    parity = prove_and_time(draft, model, threads)
    if not parity.passed:
        raise BundleError(
            f"the new graphs differ from the reference: {parity.max_step_relative:.1e} per step, "
            f"{parity.max_chunk_relative:.1e} per chunk; see {draft}"
        )
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return parity
