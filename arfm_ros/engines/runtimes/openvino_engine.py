"""Graphs on OpenVINO: Intel's (and other x86-64 and ARM) processors, and GPUs inside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines.bundle import Bundle
from arfm_ros.engines.runtimes.graph import Array, Graphs, Run, Runtime, check_input
from arfm_ros.engines.store import WHOLE, Build, cache_folder

DEVICES = {"cpu": "CPU", "gpu": "GPU"}
INSTALL = "install the extra: pip install 'arfm_ros[openvino]'"


def openvino_module() -> Any:
    """Import the library. Raises `EngineError` saying how to install it."""
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"openvino does not load ({error}): {INSTALL}") from error
    return openvino


def open_openvino(
    bundle: Bundle, build: Build | None, devices: Sequence[str], threads: int
) -> tuple[Graphs, Runtime]:
    """Open the graphs of a bundle, or those `build` made of them, on the first device there is.

    `devices` are names of `DEVICES` in order of preference. Raises `BundleError` where none is
    there or a graph cannot be read, `EngineError` without the library.
    """
    unknown = [name for name in devices if name not in DEVICES]
    if unknown or not devices:
        raise BundleError(
            f"openvino has no provider '{', '.join(unknown)}'; known: {', '.join(DEVICES)}"
        )
    library = openvino_module()
    core = library.Core()
    there = {name.partition(".")[0] for name in core.available_devices}
    passed_over = tuple(
        f"openvino finds no {name} here" for name in devices if DEVICES[name] not in there
    )
    device = next((name for name in devices if DEVICES[name] in there), None)
    if device is None:
        raise BundleError(f"{'; '.join(passed_over)}: name another provider")
    graphs = _open_all(core, bundle, build, device, threads)
    precision = "fp32" if build is None else build.precision
    built = {} if build is None else {"build": build.path.name, "files": build.sha256}
    gpu = {} if device == "cpu" else {"gpu": str(core.get_property("GPU", "FULL_DEVICE_NAME"))}
    version = str(library.__version__).partition("-")[0]
    if device == "cpu" and build is None:
        graphs, missing = _with_whole(core, graphs, bundle)
        passed_over += missing
    more = {"whole": graphs.whole, **built, **gpu}
    return graphs, Runtime("openvino", version, device, precision, passed_over=passed_over, **more)


def _open_all(core: Any, bundle: Bundle, build: Build | None, device: str, threads: int) -> Graphs:
    folder = bundle.path if build is None else build.path
    found: dict[str, OpenVinoGraph] = {}
    for name in bundle.graphs:
        # the step's matrices are too small to share between threads
        options = _options(device, 1 if name.startswith("step") else threads)
        found[name] = OpenVinoGraph(_compiled(core, folder / f"{name}.onnx", device, options))
    prefix, step = found["prefix"], found["step"]
    return Graphs(prefix, step, found.get("step_rtc"), view=found.get("view"), apart=True)


def _with_whole(core: Any, graphs: Graphs, bundle: Bundle) -> tuple[Graphs, tuple[str, ...]]:
    """Add the graphs of whole chunks; also say which this OpenVINO cannot read."""
    found: dict[str, OpenVinoGraph] = {}
    missing: list[str] = []
    for name in bundle.whole(WHOLE):
        path = bundle.path / f"{name}.onnx"
        try:
            found[name] = OpenVinoGraph(_compiled(core, path, "cpu", _options("cpu", 1)))
        except BundleError as error:
            missing.append(f"chunks run step by step: {error}")
    return replace(graphs, **found), tuple(missing)


def _options(device: str, threads: int) -> dict[str, Any]:
    """float32 means float32; no thread is nailed to a core that the robot's tick needs."""
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if device == "cpu":
        return {**options, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    return {**options, "CACHE_DIR": str(cache_folder() / "openvino")}


def _compiled(core: Any, path: Path, device: str, options: Mapping[str, Any]) -> Any:
    try:
        return core.compile_model(str(path), DEVICES[device], dict(options))
    except RuntimeError as error:  # the library's only one
        text = str(error).strip().splitlines()[-1]
        raise BundleError(f"openvino cannot read {path}: {text}") from error


class OpenVinoGraph:
    """A compiled model and one request; inputs are taken as they lie in memory."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._shapes = {
            port.get_any_name(): tuple(port.get_shape())
            for port in compiled.inputs
            if port.get_partial_shape().is_static  # a chunk takes any number of steps
        }
        self._any = {port.get_any_name() for port in compiled.inputs} - set(self._shapes)
        self._outputs = {port: port.get_any_name() for port in compiled.outputs}
        self._bound: object = None  # whose fixed inputs are set

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Set `fixed` at the first run, and again after another's."""
        owner, kept = object(), {k: np.ascontiguousarray(v) for k, v in fixed.items()}

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            given = dict(feed) if self._bound is owner else {**kept, **feed}
            for name, value in given.items():
                if name not in self._any:
                    check_input(name, value, self._shapes.get(name))
            self._bound = None
            try:
                found = self._request.infer(given, share_inputs=True, share_outputs=True)
            except RuntimeError as error:
                raise EngineError(f"openvino failed: {error}") from error
            self._bound = owner
            return {name: np.array(found[port]) for port, name in self._outputs.items()}

        return run
