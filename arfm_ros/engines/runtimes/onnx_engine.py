"""Graphs on onnxruntime: on the CPU, or on a GPU by CUDA or by TensorRT."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as native

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines.bundle import Bundle
from arfm_ros.engines.memory import elements, elements_of
from arfm_ros.engines.runtimes.cuda import find_gpu
from arfm_ros.engines.runtimes.graph import Array, Graphs, Run, Runtime
from arfm_ros.engines.runtimes.lean import waiting_weights
from arfm_ros.engines.runtimes.residents import Residents
from arfm_ros.engines.store import WHOLE, Build, cache_folder

FLOAT32 = 4  # bytes of a number
LARGE = 2**30  # bytes of weights, see `is_large`
SHARED = 2**26  # from so many bytes of weights on threads share a step
SEES = frozenset({"view", "prefix"})  # graphs with many rows
OFTEN = "step"  # the graph whose weights are packed, where all of a bundle's would take too much
WEIGHTS_LIE_IN = "session.model_external_initializers_file_folder_path"
LEAN = ("ConstantFolding",)  # would convert and turn the weights once, into memory
ERROR = 3  # onnxruntime's log severity: say nothing below
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# onnxruntime's errors have no common root of their own
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(e for e in vars(native).values() if isinstance(e, type) and issubclass(e, Exception)),
)


class OnnxGraph:
    """A session whose fixed inputs lie on its device (IO binding).

    On a GPU outputs stay there beside their copies on the host, so that a context that another
    graph takes is not brought back (`residents`). On the CPU every array is there already, and
    to bind one takes longer than to hand it over.
    """

    def __init__(
        self, session: ort.InferenceSession, device: str, residents: Residents[ort.OrtValue]
    ) -> None:
        self._session, self._device, self._residents = session, device, residents
        self._outputs = [output.name for output in session.get_outputs()]

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Copy `fixed` to the device. Raises `EngineError` for what the graph does not take."""
        if self._device == "cpu":
            return self._handing({name: np.array(value) for name, value in fixed.items()})
        binding = self._session.io_binding()
        held = {}
        try:
            for name, value in fixed.items():
                there = self._residents.find(value)
                if there is None:
                    there = ort.OrtValue.ortvalue_from_numpy(value, self._device, 0)
                held[name] = there
                binding.bind_ortvalue_input(name, there)
        except RUNTIME_ERRORS as error:
            raise EngineError(f"onnxruntime failed: {error}") from error

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            try:
                for name, value in feed.items():
                    binding.bind_cpu_input(name, value)
                for name in self._outputs:
                    binding.bind_output(name, self._device)
                self._session.run_with_iobinding(binding)
                made = zip(self._outputs, binding.get_outputs())
                return {name: self._residents.keep(one.numpy(), one) for name, one in made}
            except RUNTIME_ERRORS as error:
                raise EngineError(f"onnxruntime failed: {error}") from error

        return run

    def _handing(self, kept: Mapping[str, Array]) -> Run:
        """Run on the CPU, by handing over all inputs."""
        known = {one.name for one in self._session.get_inputs()}
        unknown = ", ".join(kept.keys() - known)
        if unknown:
            raise EngineError(f"onnxruntime failed: the graph has no input {unknown}")

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            try:
                found = self._session.run(self._outputs, {**kept, **feed})
            except RUNTIME_ERRORS as error:
                raise EngineError(f"onnxruntime failed: {error}") from error
            return dict(zip(self._outputs, found))

        return run


def open_onnx(
    bundle: Bundle, build: Build | None, providers: Sequence[str], threads: int
) -> tuple[Graphs, Runtime]:
    """Open the graphs of a bundle, or those `build` made of them, on the first provider that runs.

    `providers` are names of `PROVIDERS` in order of preference. Raises `BundleError` where none
    runs, or a graph cannot be read.
    """
    unknown = [name for name in providers if name not in PROVIDERS]
    if unknown or not providers:
        raise BundleError(
            f"onnxruntime has no provider '{', '.join(unknown)}'; known: {', '.join(PROVIDERS)}"
        )
    passed_over: list[str] = []
    for provider in providers:
        if PROVIDERS[provider] not in ort.get_available_providers():
            passed_over.append(f"{provider} is not in this onnxruntime")
            continue
        if provider != "cpu":
            preload()
        graphs = _open_all(bundle, build, provider, threads)
        if graphs is None:
            passed_over.append(f"{provider} does not start on this machine{_why(provider)}")
            continue
        if provider == "cpu" and build is None:
            graphs, missing = _with_whole(graphs, bundle, threads)
            passed_over += missing
        return graphs, _runtime(provider, build, tuple(passed_over), graphs.whole)
    raise BundleError(
        f"{'; '.join(passed_over)}, and no other provider is named, so that it is required: for a "
        "GPU install onnxruntime-gpu in place of onnxruntime, or add cpu to the providers"
    )


def preload() -> None:
    """Load CUDA and cuDNN from the wheels that onnxruntime-gpu came with (its `preload_dlls`).

    They lie in folders that the loader does not look into. A version of onnxruntime without it,
    or a machine where they are installed for all, needs none.
    """
    load = getattr(ort, "preload_dlls", None)
    if load is not None:
        with redirect_stdout(StringIO()), suppress(Exception):  # it prints what it misses
            load()


def _why(provider: str) -> str:
    """Say why a provider's library does not load; onnxruntime falls back without an error."""
    name = f"libonnxruntime_providers_{provider}.so"
    library = Path(native.__file__).parent / name
    if not library.is_file():
        return ""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return f": {error}"
    return ""


def _with_whole(graphs: Graphs, bundle: Bundle, threads: int) -> tuple[Graphs, list[str]]:
    """Add the graphs of whole chunks; also say which this onnxruntime is too old for."""
    found: dict[str, OnnxGraph] = {}
    missing = []
    residents = Residents[ort.OrtValue]()
    for name in bundle.whole(WHOLE):
        file = bundle.path / f"{name}.onnx"
        options = session_options(graph_threads(file, threads))
        try:
            session = _open(file, options, _with_options("cpu", Path()))
        except BundleError as error:
            missing.append(f"chunks run step by step: {str(error).splitlines()[0]}")
        else:
            found[name] = OnnxGraph(session, "cpu", residents)
    return replace(graphs, **found), missing


def _runtime(
    provider: str, build: Build | None, passed_over: tuple[str, ...], whole: str
) -> Runtime:
    found = {} if build is None else {"build": build.path.name, "files": build.sha256}
    gpu = None if provider == "cpu" else find_gpu()
    if gpu is not None:
        found |= {"gpu": gpu.name, "driver": gpu.driver}
    return Runtime(
        engine="onnx",
        version=ort.__version__,
        device=provider,
        precision="fp32" if build is None else build.precision,
        passed_over=passed_over,
        whole=whole,
        **found,
    )


def _open_all(bundle: Bundle, build: Build | None, provider: str, threads: int) -> Graphs | None:
    folder = bundle.path if build is None else build.path
    chosen = _with_options(provider, cache_folder() / "onnx-tensorrt" / bundle.sha256[:16])
    graphs: dict[str, OnnxGraph] = {}
    residents = Residents[ort.OrtValue]()
    for name in bundle.graphs:
        file = folder / f"{name}.onnx"
        lean = provider == "cpu" and is_large(file)
        options = session_options(graph_threads(file, threads), lean)
        session = _open(file, options, chosen, lean)
        if session.get_providers()[0] != PROVIDERS[provider]:
            return None  # onnxruntime fell back without an error
        graphs[name] = OnnxGraph(session, "cpu" if provider == "cpu" else "cuda", residents)
    prefix, step = graphs["prefix"], graphs["step"]
    return Graphs(prefix, step, graphs.get("step_rtc"), view=graphs.get("view"), apart=True)


def graph_threads(graph: Path, threads: int) -> int:
    """Give the threads of the graph in a file, where `threads` are wanted.

    The matrices of a small network's step are too small to share: a second thread costs more than
    it brings. Those of a VLA's are not: two threads take 74 ms for SmolVLA's (381 MiB), one 120.
    """
    return threads if graph.stem in SEES or FLOAT32 * elements_of(graph) >= SHARED else 1


def is_large(graph: Path) -> bool:
    """Tell whether the weights of the graph in a file are read from their file at each run.

    Measured of SmolVLA at full size: its prefix (1.1 GiB) is 0 to 9 % faster with packed weights,
    which take ten times the memory and three times as long to open. A step has few rows for each
    weight, packed it takes two thirds of the time: it is large by its own weights only.
    """
    own = graph.stem == OFTEN
    held = elements_of(graph) if own else elements(graph.parent.glob("*.safetensors"))
    return FLOAT32 * held > LARGE


def _with_options(provider: str, cache: Path) -> list[tuple[str, dict[str, Any]]]:
    """Give the provider and those that may take the nodes it leaves; float32 means float32."""
    cpu: tuple[str, dict[str, Any]] = (PROVIDERS["cpu"], {})
    cuda: tuple[str, dict[str, Any]] = (PROVIDERS["cuda"], {"use_tf32": "0"})
    tensorrt: tuple[str, dict[str, Any]] = (PROVIDERS["tensorrt"], {})
    if provider == "tensorrt":  # it makes its folder, but none above it
        with suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            tensorrt[1].update(trt_engine_cache_enable="1", trt_engine_cache_path=str(cache))
    return {"cpu": [cpu], "cuda": [cuda, cpu], "tensorrt": [tensorrt, cuda, cpu]}[provider]


def session_options(threads: int, lean: bool = False) -> ort.SessionOptions:
    """Options for a robot: few threads, which sleep when idle instead of spinning.

    `lean`: weights are read from their file at each run, not packed into memory.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERROR
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if lean:
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_mem_pattern = False
    return options


def _open(
    path: Path,
    options: ort.SessionOptions,
    providers: Sequence[tuple[str, dict[str, Any]]],
    lean: bool = False,
) -> ort.InferenceSession:
    graph = waiting_weights(path) if lean else None
    if graph is not None:
        options.add_session_config_entry(WEIGHTS_LIE_IN, str(path.parent))
    try:
        return ort.InferenceSession(
            str(path) if graph is None else graph,
            options,
            providers=list(providers),
            disabled_optimizers=list(LEAN) if lean else [],
        )
    except RUNTIME_ERRORS as error:
        raise BundleError(f"onnxruntime cannot read {path}: {error}") from error
