"""The few calls of NVIDIA's driver that an engine needs, without the CUDA toolkit.

The driver's library is on every machine with an NVIDIA GPU and its interface keeps its shape
(CUDA Driver API, sections "Device", "Context", "Memory" and "Stream Management").
"""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.runtimes.graph import Array

LIBRARY = "libcuda.so.1"
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
NAME_SIZE = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU and its driver."""

    name: str
    sm: int  # compute capability, 89 for 8.9
    driver: str  # newest CUDA version that it supports


def find_gpu() -> Gpu | None:
    """Return the first GPU; None where there is none."""
    try:
        return Device().gpu
    except EngineError:
        return None


class Device:
    """The first GPU with a stream of its own; whoever uses it enters `current` first."""

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
            self._call("cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(1))

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
        """Allocate `size` bytes, which stay until the process ends; returns the address."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return address.value

    def upload(self, value: Array, address: int) -> None:
        """Copy a contiguous array to the device, in the order of the stream."""
        pointer, size = ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), pointer, size, self._stream)

    def download(self, address: int, value: Array) -> None:
        """Copy from the device into a contiguous array; valid after `wait`."""
        pointer, size = ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)
        self._call("cuMemcpyDtoHAsync_v2", pointer, ctypes.c_uint64(address), size, self._stream)

    def wait(self) -> None:
        """Wait for everything in the stream."""
        self._call("cuStreamSynchronize", self._stream)

    def _describe(self, handle: ctypes.c_int) -> Gpu:
        name = ctypes.create_string_buffer(NAME_SIZE)
        self._call("cuDeviceGetName", name, ctypes.c_int(NAME_SIZE), handle)
        sm, version = [ctypes.c_int(), ctypes.c_int()], ctypes.c_int()
        for value, attribute in zip(sm, (MAJOR, MINOR)):
            number = ctypes.c_int(attribute)
            self._call("cuDeviceGetAttribute", ctypes.byref(value), number, handle)
        self._call("cuDriverGetVersion", ctypes.byref(version))
        driver = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return Gpu(name.value.decode(), 10 * sm[0].value + sm[1].value, driver)


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
