"""The few fields that are needed fast, straight from CDR bytes (XCDR1, as ROS 2 sends it)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.wire.errors import WireError

Cdr = bytes | memoryview
ENCAPSULATION = 4  # bytes; the second tells the order: 1 little endian, 0 big endian
NS = 1_000_000_000
STAMP = struct.Struct("<iI")
STAMPED = ENCAPSULATION + STAMP.size


def header_stamp_ns(cdr: Cdr) -> int:
    """Read the stamp of a message that begins with a header."""
    if len(cdr) < STAMPED or cdr[0] != 0 or cdr[1] != 1:
        return Cursor(cdr).stamp_ns()  # the other byte order, or a message that is none
    seconds, rest = STAMP.unpack_from(cdr, ENCAPSULATION)
    return int(seconds) * NS + int(rest)


class Cursor:
    """Walk through the fields of a message in order; `at` counts from behind the encapsulation.

    Raises `WireError` for what is not CDR and for a message that is cut short.
    """

    def __init__(self, cdr: Cdr) -> None:
        if len(cdr) < ENCAPSULATION or cdr[0] != 0 or cdr[1] > 1:
            begin = bytes(cdr[:ENCAPSULATION]).hex()
            raise WireError(f"message of {len(cdr)} bytes is not CDR: it begins {begin}")
        self._data = memoryview(cdr)[ENCAPSULATION:]
        self._order = "<" if cdr[1] == 1 else ">"
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes come behind what was read."""
        return len(self._data) - self.at

    def number(self, code: str) -> Any:
        """Read one number of `struct` type `code`, aligned to its size."""
        begin = self._take(1, struct.calcsize(code))
        return struct.unpack_from(self._order + code, self._data, begin)[0]

    def u32(self) -> int:
        """Read an unsigned 32-bit integer."""
        return int(self.number("I"))

    def octet(self) -> int:
        """Read one uint8."""
        return int(self.number("B"))

    def text(self) -> str:
        """Read a string."""
        return bytes(self.octets()).rstrip(b"\0").decode(errors="replace")

    def stamp_ns(self) -> int:
        """Read a time in ns."""
        return int(self.number("i")) * NS + self.u32()

    def header(self) -> int:
        """Read a header; give its stamp in ns."""
        stamp_ns = self.stamp_ns()
        self.octets()  # frame_id
        return stamp_ns

    def octets(self) -> memoryview:
        """Read a sequence of uint8 without a copy."""
        count = self.u32()
        begin = self._take(count, 1)
        return self._data[begin : begin + count]

    def doubles(self, count: int | None = None) -> NDArray[np.float64]:
        """Read a sequence of float64, or an array of a fixed number, without a copy."""
        count = self.u32() if count is None else count
        begin = self._take(count, 8) if count else self.at
        return np.frombuffer(self._data[begin : begin + 8 * count], dtype=f"{self._order}f8")

    def _take(self, count: int, size: int) -> int:
        """Step over `count` items of `size` bytes; give where they begin."""
        begin = self.at + -self.at % size
        self.at = begin + count * size
        if self.at > len(self._data):
            raise WireError(f"message of {len(self._data) + ENCAPSULATION} bytes is cut short")
        return begin
