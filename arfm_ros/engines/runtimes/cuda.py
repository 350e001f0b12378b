"""The few calls of NVIDIA's driver that an engine needs, without the CUDA toolkit.

The driver's library is on every machine with an NVIDIA GPU and its interface keeps its shape
(CUDA Driver API, sections "Device", "Context", "Memory", "Stream" and "Graph Management").
"""

from __future__ import annotations

import ctypes
import re
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.runtimes.graph import Array

LIBRARY = "libcuda.so.1"
# CU_DEVICE_ATTRIBUTE_...: COMPUTE_CAPABILITY_MAJOR, _MINOR, INTEGRATED, MULTIPROCESSOR_COUNT
MAJOR, MINOR, INTEGRATED, PROCESSORS = 75, 76, 18, 16
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE: other threads use the GPU meanwhile
NON_BLOCKING = 1  # CU_STREAM_...
NAME_SIZE, GIB = 256, 2**30
# Where the kernel's part of the driver says its version; a Jetson has the release of its system
VERSIONS = ("/sys/module/nvidia/version", "/proc/driver/nvidia/version", "/etc/nv_tegra_release")
NUMBER = re.compile(r"\b\d+\.\d+(?:\.\d+)*\b|R\d+[^,]*, REVISION: [\d.]+")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU and its driver."""

    name: str  # all modules of a Jetson have one name: with processors and memory
    sm: int  # compute capability, 89 for 8.9
    driver: str  # version of the driver, and the newest CUDA version that it supports


def find_gpu() -> Gpu | None:
    """Return the first GPU; None where there is none."""
    try:
        return Device().gpu
    except EngineError:
        return None


def driver_version(paths: tuple[str, ...] = VERSIONS) -> str:
    """Return the version of the installed driver, '' where it is not told."""
    for path in paths:
        with suppress(OSError):
            found = NUMBER.search(Path(path).read_text())
            if found:
                return found.group()
    return ""


def described(name: str, integrated: bool, processors: int, memory: int) -> str:
    """Name a GPU: those of modules, which all have one name, by what they have (bytes)."""
    if not integrated:
        return name
    return f"{name} ({processors} SMs, {round(memory / GIB)} GB)"


class Device:
    """The first GPU with a stream of its own; whoever uses it enters `current` first.

    Stream and context are given back with the last reference.
    """

    def __init__(self) -> None:
        self._call = _driver()
        handle, count = ctypes.c_int(), ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if count.value == 0:
            raise EngineError("there is no NVIDIA GPU: use the engine onnx")
        self._call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(0))
        self.gpu = self._describe(handle)
        self._context, self._stream = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), handle)
        with self.current():
            self._call("cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(NON_BLOCKING))
        weakref.finalize(self, _release, self._call, self._context, self._stream, handle)

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        return int(self._stream.value or 0)

    @contextmanager
    def current(self) -> Generator[None, None, None]:
        """Make the device's context this thread's."""
        self._call("cuCtxPushCurrent_v2", self._context)
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes; returns the address, which `free` gives back."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return address.value

    def free(self, address: int) -> None:
        """Give back what `allocate` gave."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def allocate_host(self, size: int) -> int:
        """Allocate `size` bytes on the host that the GPU copies from and to by itself."""
        pointer = ctypes.c_void_p()
        self._call("cuMemAllocHost_v2", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
        return int(pointer.value or 0)

    def free_host(self, pointer: int) -> None:
        """Give back what `allocate_host` gave."""
        self._call("cuMemFreeHost", ctypes.c_void_p(pointer))

    def upload(self, value: Array, address: int) -> None:
        """Copy a contiguous array to the device, in the order of the stream."""
        pointer, size = ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), pointer, size, self._stream)

    def download(self, address: int, value: Array) -> None:
        """Copy from the device into a contiguous array; valid after `wait`."""
        pointer, size = ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)
        self._call("cuMemcpyDtoHAsync_v2", pointer, ctypes.c_uint64(address), size, self._stream)

    def move(self, source: int, address: int, size: int) -> None:
        """Copy `size` bytes on the device, in the order of the stream."""
        to, of = ctypes.c_uint64(address), ctypes.c_uint64(source)
        self._call("cuMemcpyDtoDAsync_v2", to, of, ctypes.c_size_t(size), self._stream)

    def wait(self) -> None:
        """Wait for everything in the stream."""
        self._call("cuStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], bool]) -> Callable[[], None]:
        """Record what `work` puts into the stream; the result puts it there again, in one call.

        Raises `EngineError` where it says that it failed, or what it does cannot be recorded.
        """
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(THREAD_LOCAL))
        try:
            done = work()
        finally:
            self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            if not done:
                raise EngineError("what should be recorded failed")
            flags = ctypes.c_ulonglong(0)
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, flags)
        finally:
            self._call("cuGraphDestroy", graph)

        def replay() -> None:
            self._call("cuGraphLaunch", ready, self._stream)

        weakref.finalize(replay, self._call.quietly, "cuGraphExecDestroy", ready)
        return replay

    def _describe(self, handle: ctypes.c_int) -> Gpu:
        name = ctypes.create_string_buffer(NAME_SIZE)
        self._call("cuDeviceGetName", name, ctypes.c_int(NAME_SIZE), handle)
        found = []
        for attribute in (MAJOR, MINOR, INTEGRATED, PROCESSORS):
            value = ctypes.c_int()
            number = ctypes.c_int(attribute)
            self._call("cuDeviceGetAttribute", ctypes.byref(value), number, handle)
            found.append(value.value)
        major, minor, integrated, processors = found
        memory, version = ctypes.c_size_t(), ctypes.c_int()
        self._call("cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
        self._call("cuDriverGetVersion", ctypes.byref(version))
        cuda = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
        own = described(name.value.decode(), bool(integrated), processors, memory.value)
        return Gpu(own, 10 * major + minor, f"{driver_version()} {cuda}".strip())


class _Driver:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __call__(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(ctypes.c_int(status), ctypes.byref(text))
            said = (text.value or b"?").decode()
            raise EngineError(f"the GPU's driver failed: {name} gave {status} ({said})")

    def quietly(self, name: str, *arguments: object) -> None:
        """Give something back; at the end of a process the driver may be gone before."""
        with suppress(EngineError):
            self(name, *arguments)


def _release(
    call: _Driver, context: ctypes.c_void_p, stream: ctypes.c_void_p, handle: ctypes.c_int
) -> None:
    with suppress(EngineError):
        call("cuCtxPushCurrent_v2", context)
        call.quietly("cuStreamDestroy_v2", stream)
        call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
    call.quietly("cuDevicePrimaryCtxRelease_v2", handle)


@lru_cache(maxsize=1)
def _driver() -> _Driver:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineError(
            f"there is no driver of an NVIDIA GPU ({LIBRARY}): use the engine onnx"
        ) from error
    call = _Driver(library)
    call("cuInit", ctypes.c_uint(0))
    return call
