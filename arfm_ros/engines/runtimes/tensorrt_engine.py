"""Graphs on TensorRT, or on TensorRT for RTX: the same interface under two names.

x, t, the context and the velocity are float32 outside of an engine, whatever it computes in.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines.bundle import Bundle
from arfm_ros.engines.runtimes.cuda import Device
from arfm_ros.engines.runtimes.graph import Array, Graphs, Run, Runtime, check_input
from arfm_ros.engines.store import GRAPHS, build_command, find_build

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
    graphs = {}
    with device.current():
        runtime = library.Runtime(logger)
        for name in GRAPHS:
            if name != "step_rtc" or bundle.spec.rtc.mode != "none":
                path = build.path / f"{name}.engine"
                loaded = load_engine(runtime, path, build_command(bundle, engine, precision))
                graphs[name] = TensorRTGraph(library, loaded, device)
    gpu = device.gpu
    return Graphs(graphs["prefix"], graphs["step"], graphs.get("step_rtc")), Runtime(
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


class TensorRTGraph:
    """An engine with one buffer on the device for each input and output."""

    def __init__(self, library: Any, engine: Any, device: Device) -> None:
        self._engine, self._device = engine, device
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineError("the GPU has no room for this engine")
        self._host: dict[str, Array] = {}
        self._address: dict[str, int] = {}
        self._outputs = []
        for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
            dtype = np.dtype(library.nptype(engine.get_tensor_dtype(name)))
            self._host[name] = np.empty(tuple(engine.get_tensor_shape(name)), dtype)
            self._address[name] = device.allocate(self._host[name].nbytes)
            self._context.set_tensor_address(name, self._address[name])
            if engine.get_tensor_mode(name) == library.TensorIOMode.OUTPUT:
                self._outputs.append(name)
        self._bound: object = None  # whose fixed inputs are on the device

    def bind(self, fixed: Mapping[str, Array]) -> Run:
        """Bring `fixed` to the device at the first run, and again after another's."""
        owner = object()

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            with self._device.current():
                if self._bound is not owner:
                    self._bound = None
                    self._upload(fixed)
                    self._bound = owner
                self._upload(feed)
                return self._infer()

        return run

    def _upload(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            host = self._host.get(name)
            check_input(name, value, None if host is None else host.shape)
            host[...] = value
            self._device.upload(host, self._address[name])

    def _infer(self) -> dict[str, Array]:
        if not self._context.execute_async_v3(self._device.stream):
            raise EngineError("TensorRT failed to run the engine")
        for name in self._outputs:
            self._device.download(self._address[name], self._host[name])
        self._device.wait()
        return {name: self._host[name].copy() for name in self._outputs}
