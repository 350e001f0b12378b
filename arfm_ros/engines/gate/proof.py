"""The record of a check, and the question whether it still holds: parity.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines.bundle import PARITY, REFERENCE, Bundle, file_sha256, read_json
from arfm_ros.engines.gate.machine import machine
from arfm_ros.engines.gate.replay import Parity, load_reference, replay
from arfm_ros.engines.policy import EnginePolicy
from arfm_ros.engines.runtimes.graph import Runtime
from arfm_ros.engines.store import FOLDER

# of the export; a check does not measure them
KEPT = ("timing", "freeze_error", "guidance_cost", "keep_tokens")


def prove(bundle: Bundle, policy: EnginePolicy) -> dict[str, Any]:
    """Replay the reference of `bundle`, write the record and return it.

    Raises `EngineError` where the engine fails, after it withdrew an earlier pass, and
    `BundleError` where there is no reference or no place for the record.
    """
    reference = load_reference(bundle.path)
    path = proof_path(bundle.path, policy.runtime)
    kept = {name: value for name, value in _read(path).items() if name in KEPT}
    try:
        parity = replay(policy, reference)
    except EngineError as error:
        _write(path, {"passed": False, "error": str(error), **kept})
        raise
    record = proof(bundle, policy.runtime, parity) | kept
    _write(path, record)
    return record


def proof(bundle: Bundle, runtime: Runtime, parity: Parity) -> dict[str, Any]:
    """Say what was measured, of which weights, on what."""
    return asdict(parity) | {
        "bundle_sha256": bundle.sha256,
        "reference_sha256": file_sha256(bundle.path / REFERENCE),
        "runtime": runtime.as_dict(),
        "machine": machine(),
    }


def proof_path(bundle: Path, runtime: Runtime) -> Path:
    """Name the record: beside what it is about."""
    if runtime.build:
        return bundle / FOLDER / runtime.build / PARITY
    if (runtime.engine, runtime.device) == ("onnx", "cpu"):
        return bundle / PARITY
    device = "".join(c if c.isalnum() else "_" for c in runtime.device)
    return bundle / FOLDER / f"{runtime.engine}-{runtime.precision}-{device}" / PARITY


def require_pass(bundle: Bundle, runtime: Runtime) -> None:
    """Raise `BundleError`, with the command to run, unless a check of just this has passed.

    On a GPU this includes the versions of the runtime and of the driver. On the CPU it does not:
    there a newer onnxruntime computes the same float32.
    """
    path = proof_path(bundle.path, runtime)
    how = f"run `{command(bundle.path, runtime)}`"
    if not path.is_file():
        raise BundleError(f"{path} is missing, so nobody checked this bundle here: {how}")
    record = read_json(path, how)
    if "passed" not in record:
        raise BundleError(f"{path} cannot be read (it does not say 'passed'): {how}")
    if record["passed"] is not True:
        raise BundleError(f"{path} says that the bundle differs from its checkpoint: {how}")
    stale = _stale(record, bundle, runtime)
    if stale:
        raise BundleError(f"{path} {stale}: {how}")


def command(bundle: Path, runtime: Runtime) -> str:
    """Return the command that checks a bundle on such a runtime."""
    words = ["arfm check", str(bundle)]
    words += ["--engine", runtime.engine] if runtime.engine != "onnx" else []
    words += ["--precision", runtime.precision] if runtime.build else []
    if (runtime.engine, runtime.device) == ("torch", "cpu"):
        words += ["--providers", "cpu"]
    if runtime.engine in {"onnx", "openvino"} and runtime.device != "cpu":
        words += ["--providers", runtime.device]
    return " ".join(words)


def _stale(record: Mapping[str, Any], bundle: Bundle, runtime: Runtime) -> str:
    checked = str(record.get("bundle_sha256", ""))
    if checked != bundle.sha256:
        what = f"is of other weights ({checked[:12]}…)" if checked else "names no weights"
        return f"{what}, this is {bundle.sha256[:12]}…"
    before, now = record.get("runtime", {}), runtime.as_dict()
    if not isinstance(before, dict):
        return "names no runtime"
    if runtime.device == "cpu":
        now.pop("version")
    for name, value in now.items():
        if before.get(name, "") != value:
            return f"was made with {name} '{str(before.get(name, ''))[:80]}', here is '{value}'"
    return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, "")
    except BundleError:
        return {}


def _write(path: Path, record: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(record, indent=1) + "\n")
        draft.replace(path)
    except OSError as error:
        how = "copy the bundle and check that"
        raise BundleError(f"cannot write {path} ({error}): {how}") from error
