"""Memory that a graph's inputs and outputs lie in: of the host, pinned, and as much of the GPU.

Blocks are lent as arrays and come back when the last view of the array is gone, so that a context
stays what it was while the next one is computed.
"""

from __future__ import annotations

import ctypes
import weakref
from contextlib import suppress
from typing import Any

import numpy as np

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.runtimes.cuda import Device
from arfm_ros.engines.runtimes.graph import Array


class Block:
    """So many bytes on both sides, given back with the last reference."""

    def __init__(self, device: Device, size: int) -> None:
        self.size = max(size, 1)
        self.address = device.allocate(self.size)
        self.pointer = device.allocate_host(self.size)
        weakref.finalize(self, _free, device, self.address, self.pointer)


class Lender:
    """Lends blocks of one array's size."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: Any) -> None:
        self._device, self.shape, self._dtype = device, shape, np.dtype(dtype)
        self._free: list[Block] = []

    def lend(self) -> tuple[Array, Block]:
        """Return an array [shape] in pinned memory and its block; `device` has to be current."""
        size = int(np.prod(self.shape, dtype=np.int64)) * self._dtype.itemsize
        block = self._free.pop() if self._free else Block(self._device, size)
        memory = (ctypes.c_char * block.size).from_address(block.pointer)
        weakref.finalize(memory, self._free.append, block)
        return np.frombuffer(memory, np.uint8)[:size].view(self._dtype).reshape(self.shape), block


def _free(device: Device, address: int, pointer: int) -> None:
    with suppress(EngineError), device.current():  # at the end of a process the driver is gone
        device.free(address)
        device.free_host(pointer)
