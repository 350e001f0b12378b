"""The shipped policy on one runtime of the GPU: parity gate, latencies, freeze error."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.bench.contest import Contender, compete
from arfm_ros.bench.gpu.parts import Report, Setting, Skipped
from arfm_ros.core.errors import ArfmError
from arfm_ros.engines import EnginePolicy, load_policy
from arfm_ros.engines.gate.freeze import freeze_errors
from arfm_ros.engines.gate.replay import load_reference, replay
from arfm_ros.engines.store import FOLDER

SECONDS = 8.0
PARITY = ("passed", "max_step_relative", "max_chunk_relative", "worst_joint_error_rad")
BUILT = ("tensorrt",)  # engines that are built before they run; onnx in fewer bits too


def measure(setting: Setting, report: Report, engine: str, precision: str) -> None:
    """Build where it must be, replay the reference, time, and measure how frozen actions stay."""
    if engine in BUILT and setting.device == "cpu":
        raise Skipped(f"{engine} runs on a GPU only")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        shutil.copytree(setting.bundle, bundle, ignore=shutil.ignore_patterns(FOLDER))
        if engine in BUILT or precision == "fp16":
            from arfm_ros.export.build import build_engine

            build_engine(bundle, engine, precision or "fp32", say=lambda _: None)
            report(built=True)
        policy = open_policy(setting, engine, precision, bundle)
        report(runtime=policy.runtime.as_dict())
        reference = load_reference(bundle)
        parity = replay(policy, reference)
        found = {name: getattr(parity, name) for name in (*PARITY, "cosine")}
        report(parity=found | {"observations": parity.observations})
        contender = Contender(engine, policy, {})
        seconds = 0.0 if setting.tiny else SECONDS
        compete([contender], reference.observation(0), seconds, lambda: None)
        report(latencies={what: _summary(times) for what, times in contender.wall_ns.items()})
        report(freeze_error=freeze_errors(policy, reference))


def open_policy(setting: Setting, engine: str, precision: str, bundle: Path) -> EnginePolicy:
    """Open the bundle on this device, and on no other. Raises `ArfmError` if it cannot run."""
    providers = ("default",) if engine in BUILT else (setting.device,)
    policy = load_policy(
        bundle, engine=engine, precision=precision, providers=providers, threads=1
    )
    assert isinstance(policy, EnginePolicy)  # the shipped one is on no server
    return policy


def first_policy(setting: Setting, bundle: Path) -> EnginePolicy:
    """Open it on the first engine that runs on this device. Raises `Skipped` with all reasons."""
    reasons = []
    for engine in ("torch", "onnx"):
        try:
            return open_policy(setting, engine, "", bundle)
        except ArfmError as error:
            reasons.append(str(error))
    raise Skipped("; ".join(reasons))


def _summary(times_ns: list[int]) -> dict[str, Any]:
    from arfm_ros.bench.gpu.timing import summary

    return summary((np.asarray(times_ns) * 1e-6).tolist())
