"""A driver and a TensorRT that compute on the host: what they are asked for is checked."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import EngineError

Work = Callable[[dict[str, np.ndarray]], None]


class Driver:
    """Calls of libcuda on the host's memory; every address has to be one that it gave."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.held: dict[int, Any] = {}  # address -> memory, of both sides
        self.recording: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.deny = ""

    def __call__(self, name: str, *arguments: Any) -> None:
        self.calls[name] += 1
        if name == self.deny:
            raise EngineError(f"{name} is denied")
        getattr(self, name, lambda *_: None)(*arguments)

    def quietly(self, name: str, *arguments: Any) -> None:
        self(name, *arguments)

    def array(self, address: int, size: int) -> np.ndarray:
        assert address in self.held, f"{address} is not lent"
        memory = self.held[address]
        assert size <= len(memory)
        return np.frombuffer(memory, np.uint8)[:size]

    def cuDeviceGetCount(self, out: Any) -> None:
        out._obj.value = 1

    def cuDeviceGetName(self, out: Any, *_: Any) -> None:
        out.value = b"Made up"

    def cuMemAlloc_v2(self, out: Any, size: Any) -> None:
        memory = ctypes.create_string_buffer(size.value)
        self.held[ctypes.addressof(memory)] = memory
        out._obj.value = ctypes.addressof(memory)

    cuMemAllocHost_v2 = cuMemAlloc_v2

    def cuMemFree_v2(self, address: Any) -> None:
        del self.held[address.value]

    cuMemFreeHost = cuMemFree_v2

    def cuMemcpyHtoDAsync_v2(self, to: Any, of: Any, size: Any, stream: Any) -> None:
        ctypes.memmove(to.value, of.value, size.value)
        self.array(to.value, size.value)

    def cuMemcpyDtoHAsync_v2(self, to: Any, of: Any, size: Any, stream: Any) -> None:
        self.array(of.value, size.value)
        ctypes.memmove(to.value, of.value, size.value)

    def cuMemcpyDtoDAsync_v2(self, to: Any, of: Any, size: Any, stream: Any) -> None:
        self.array(of.value, size.value)
        self.array(to.value, size.value)
        ctypes.memmove(to.value, of.value, size.value)

    def cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:
        self.recording = []

    def cuStreamEndCapture(self, stream: Any, out: Any) -> None:
        out._obj.value = len(self.graphs) + 1
        self.graphs[out._obj.value] = self.recording or []
        self.recording = None

    def cuGraphInstantiateWithFlags(self, out: Any, graph: Any, flags: Any) -> None:
        out._obj.value = graph.value

    def cuGraphLaunch(self, graph: Any, stream: Any) -> None:
        for step in self.graphs[graph.value]:
            step()


class Library:
    """The parts of TensorRT's Python interface that are used."""

    class TensorIOMode:
        INPUT, OUTPUT = range(2)

    nptype = staticmethod(lambda dtype: dtype)


class Engine:
    """An engine and its context: `work` reads and writes arrays by name."""

    def __init__(
        self, driver: Driver, inputs: dict[str, tuple], outputs: dict[str, tuple], work: Work
    ) -> None:
        self._driver, self._work = driver, work
        self._shapes = inputs | outputs
        self._of_output = set(outputs)
        self._at: dict[str, int] = {}
        self.num_io_tensors = len(self._shapes)
        self.enqueued = 0

    def get_tensor_name(self, index: int) -> str:
        return list(self._shapes)[index]

    def get_tensor_dtype(self, name: str) -> Any:
        return np.float32

    def get_tensor_shape(self, name: str) -> tuple:
        return self._shapes[name]

    def get_tensor_mode(self, name: str) -> int:
        return Library.TensorIOMode.OUTPUT if name in self._of_output else 0

    def set_tensor_address(self, name: str, address: int) -> None:
        self._at[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        self.enqueued += 1
        if self._driver.recording is not None:
            self._driver.recording.append(self._run)
        else:
            self._run()
        return True

    def _run(self) -> None:
        arrays = {}
        for name, shape in self._shapes.items():
            raw = self._driver.array(self._at[name], 4 * int(np.prod(shape)))
            arrays[name] = np.frombuffer(
                (ctypes.c_char * raw.nbytes).from_address(self._at[name]), np.float32
            ).reshape(shape)
        self._work(arrays)


def written(path: Path, text: str) -> str:
    """Write a file that tells a version; return its path."""
    path.write_text(text)
    return str(path)
