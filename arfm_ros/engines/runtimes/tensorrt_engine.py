"""Graphs on TensorRT, or on TensorRT for RTX: the same interface under two names.

x, t, the context and the velocity are float32 outside of an engine, whatever it computes in.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines.bundle import Bundle
from arfm_ros.engines.runtimes.blocks import Block, Lender
from arfm_ros.engines.runtimes.cuda import Device
from arfm_ros.engines.runtimes.graph import Array, Graphs, Run, Runtime, check_input
from arfm_ros.engines.runtimes.residents import Residents
from arfm_ros.engines.store import build_command, cache_folder, find_build

MODULES = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
INSTALL = {
    "tensorrt": "it comes with JetPack or NVIDIA's packages (docs/jetson.md)",
    "tensorrt_rtx": "install the extra: pip install 'arfm_ros[rtx]'",
}


def tensorrt_module(engine: str) -> Any:
    """Import the library of `engine`. Raises `EngineError` saying how to install it."""
    for name in MODULES[engine]:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            if error.name != name:
                raise EngineError(f"{name} does not load: {error}") from error
    raise EngineError(f"{engine} is not installed: {INSTALL[engine]}")


def open_tensorrt(bundle: Bundle, engine: str, precision: str) -> tuple[Graphs, Runtime]:
    """Open the engines that `arfm export` built for this GPU.

    Raises `BundleError` where none fits, `EngineError` where the library or the GPU is missing.
    """
    library = tensorrt_module(engine)
    device = Device()
    build = find_build(bundle, engine, library.__version__, precision, device.gpu)
    logger = library.Logger(library.Logger.ERROR)
    graphs, residents = {}, Residents[Block]()
    again = build_command(bundle, engine, precision)
    with device.current():
        runtime = library.Runtime(logger)
        for name in bundle.graphs:
            path = build.path / f"{name}.engine"
            kept = cache_folder() / "kernels" / build.sha256[:16] / f"{name}.cache"
            opened = open_context(library, load_engine(runtime, path, again), kept)
            graphs[name] = TensorRTGraph(library, opened, device, residents)
    gpu = device.gpu
    opened_all = Graphs(
        graphs["prefix"], graphs["step"], graphs.get("step_rtc"), view=graphs.get("view")
    )
    return opened_all, Runtime(
        engine=engine,
        version=library.__version__,
        device=gpu.name,
        precision=build.precision,
        driver=gpu.driver,
        build=build.path.name,
        files=build.sha256,
    )


def load_engine(runtime: Any, path: Path, again: str) -> Any:
    """Open a built file. Raises `BundleError` with the command `again` where it does not load."""
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise BundleError(f"{path} does not load on this GPU and driver: {again}")
    return engine


class Opened(NamedTuple):
    """An engine, the context that it runs in, and what keeps its kernels after the first run."""

    engine: Any
    context: Any
    keep: Callable[[], None]


def open_context(library: Any, engine: Any, kept: Path) -> Opened:
    """Make a context; what TensorRT for RTX compiles for it is kept in the file `kept`.

    It compiles the kernels for the very GPU, seconds for a large network; its runtime cache has
    them at the next start. It also replays its CUDA graph by itself.
    """
    if not hasattr(library, "CudaGraphStrategy"):
        return Opened(engine, _made(engine.create_execution_context()), lambda: None)
    config = engine.create_runtime_config()
    cache = config.create_runtime_cache()
    with suppress(OSError):
        cache.deserialize(kept.read_bytes())
    config.set_runtime_cache(cache)
    config.cuda_graph_strategy = library.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    context = _made(engine.create_execution_context(config))
    return Opened(engine, context, lambda: keep_kernels(kept, bytes(cache.serialize())))


def _made(context: Any) -> Any:
    if context is None:
        raise EngineError("the GPU has no room for this engine")
    return context


def keep_kernels(path: Path, data: bytes) -> None:
    """Write the file at once; where that may not be, the kernels are compiled again next time."""
    draft = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(path)


class TensorRTGraph:
    """An engine with one buffer on the device for each input and output.

    Outputs are lent blocks: what `residents` has is copied on the device by the graph that takes
    it, the rest comes from the host. After its first run the engine is replayed as a CUDA graph,
    unless the library makes one by itself or it cannot be recorded.
    """

    def __init__(
        self, library: Any, opened: Opened, device: Device, residents: Residents[Block]
    ) -> None:
        self._opened, self._device, self._residents = opened, device, residents
        engine, context, _ = opened
        self._buffers: dict[str, Lender] = {}
        self._inputs: dict[str, tuple[Array, Block]] = {}
        self._outputs: dict[str, tuple[Array, Block]] = {}
        for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
            dtype = library.nptype(engine.get_tensor_dtype(name))
            lender = Lender(device, tuple(engine.get_tensor_shape(name)), dtype)
            self._buffers[name] = lender
            array, block = lender.lend()
            context.set_tensor_address(name, block.address)
            if engine.get_tensor_mode(name) == library.TensorIOMode.OUTPUT:
                self._outputs[name] = array, block
            else:
                self._inputs[name] = array, block
        self._bound: object = None  # whose fixed inputs are on the device
        self._launch: Callable[[], None] | None = None
        self._ran = False
        self._recordable = not hasattr(library, "CudaGraphStrategy")

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Bring `fixed` to the device at the first run, and again after another's."""
        owner = object()

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            with self._device.current():
                if self._bound is not owner:
                    self._bound = None
                    self._fill(fixed)
                    self._bound = owner
                self._fill(feed)
                return self._infer()

        return run

    def _fill(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            host, block = self._inputs.get(name, (None, None))
            check_input(name, value, None if host is None else host.shape)
            if host is None or block is None:
                continue
            there = self._residents.find(value)
            if there is not None and value.dtype == host.dtype:
                self._device.move(there.address, block.address, host.nbytes)
                continue
            host[...] = value
            self._device.upload(host, block.address)

    def _infer(self) -> dict[str, Array]:
        if self._launch is not None:
            self._launch()
        elif not self._enqueue():
            raise EngineError("TensorRT failed to run the engine")
        found = {}
        for name, (_, made) in self._outputs.items():
            array, block = self._buffers[name].lend()
            self._device.move(made.address, block.address, array.nbytes)
            self._device.download(made.address, array)
            found[name] = self._residents.keep(array, block)
        self._device.wait()
        self._record()
        return found

    def _enqueue(self) -> bool:
        return bool(self._opened.context.execute_async_v3(self._device.stream))

    def _record(self) -> None:
        """Keep and record what the first run has set up."""
        if not self._ran:
            self._ran = True
            self._opened.keep()
        if self._launch is None and self._recordable:
            self._recordable = False
            with suppress(EngineError):  # a network that waits for the host: it runs as before
                self._launch = self._device.capture(self._enqueue)
