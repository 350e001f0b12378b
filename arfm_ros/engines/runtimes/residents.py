"""What lies on a device beside its copy on the host: a context goes from one graph to the next.

A graph's outputs are checked and recorded on the host, and the next graph reads them on the device
where they were made. So each output keeps what stands for it on the device, for as long as it
lives; it is read-only, for a changed copy would be another value.
"""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

from arfm_ros.engines.runtimes.graph import Array

Handle = TypeVar("Handle")


class Residents(Generic[Handle]):
    """Handles of the arrays that one device has; a thread may keep while another one finds."""

    def __init__(self) -> None:
        self._held: dict[int, Handle] = {}

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, value: Array, handle: Handle) -> Array:
        """Remember what stands for `value`, which becomes read-only, and return it."""
        value.setflags(write=False)
        self._held[id(value)] = handle
        weakref.finalize(value, self._held.pop, id(value), None)
        return value

    def find(self, value: Array) -> Handle | None:
        """Return what stands for this very array, None where nothing does."""
        return self._held.get(id(value))
