"""Open a bundle on an engine, chosen by name."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.core.precisions import PRECISIONS
from arfm_ros.core.solvers.flow import Clock
from arfm_ros.engines.bundle import Bundle, load_bundle
from arfm_ros.engines.inputs import Inputs
from arfm_ros.engines.policy import EnginePolicy
from arfm_ros.engines.runtimes.graph import ENGINES, Graphs, Runtime
from arfm_ros.engines.runtimes.onnx_engine import open_onnx
from arfm_ros.engines.runtimes.openvino_engine import open_openvino
from arfm_ros.engines.runtimes.tensorrt_engine import open_tensorrt
from arfm_ros.engines.server.remote import RemotePolicy, open_remote
from arfm_ros.engines.store import find_build

TORCH = "arfm_ros.export.torch_engine"  # by name only, as test_layers has it: no torch on a robot
DEFAULT = ("default",)
READERS = {"onnx": open_onnx, "openvino": open_openvino}  # of the graphs as they are
OWN_PROVIDERS = {"onnx": ("cpu",), "openvino": ("cpu",), "torch": ("cuda",)}


def load_policy(
    path: Path | str,
    *,
    engine: str = "onnx",
    precision: str = "",
    threads: int = 2,
    providers: Sequence[str] = DEFAULT,
    clock: Clock = time.monotonic_ns,
) -> EnginePolicy | RemotePolicy:
    """Open a bundle on one of `ENGINES`, or the line to the server that has its network.

    `precision` "" is float32, and what was built for TensorRT. `providers` are in order of
    preference: cpu, cuda, tensorrt of onnx (default: cpu), cpu, gpu of openvino (default: cpu),
    cuda, cpu of torch (default: cuda); one that is not named is not used. Raises `BundleError` or
    `EngineError` for whatever keeps it from running.
    """
    for what, name, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if name not in known and (name or what == "engine"):
            raise BundleError(f"there is no {what} '{name}'; known: {', '.join(known)}")
    bundle = load_bundle(path)
    if bundle.remote is not None:
        return open_remote(bundle, clock)
    inputs = Inputs(bundle.spec, bundle.path)
    graphs, runtime = _open(bundle, engine, precision, threads, providers)
    return EnginePolicy(bundle.spec, replace(graphs, inputs=inputs), bundle.sha256, runtime, clock)


def _open(
    bundle: Bundle, engine: str, precision: str, threads: int, providers: Sequence[str]
) -> tuple[Graphs, Runtime]:
    if tuple(providers) == DEFAULT:
        providers = OWN_PROVIDERS.get(engine, ())
    if engine == "torch":
        return _open_torch(bundle, precision, providers, threads)
    if engine not in READERS:
        return open_tensorrt(bundle, engine, precision)
    own = precision in {"", "fp32"}
    build = None if own else find_build(bundle, "onnx", "", precision)
    return READERS[engine](bundle, build, providers, threads)


def _open_torch(
    bundle: Bundle, precision: str, providers: Sequence[str], threads: int
) -> tuple[Graphs, Runtime]:
    try:
        module = importlib.import_module(TORCH)
    except ModuleNotFoundError as error:
        raise EngineError(
            f"the engine torch needs the package '{error.name}': install the extra "
            "(pip install 'arfm_ros[train]'), or use the engine onnx"
        ) from error
    opened: tuple[Graphs, Runtime] = module.open_torch(bundle, precision, providers, threads)
    return opened
