"""The few fields that are needed fast, straight from CDR bytes (little endian, 4-byte header)."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.definitions import STORE
from arfm_ros.episodes.scan import Record

ENCAPSULATION = 4
NS = 1_000_000_000
_STAMP = struct.Struct("<iI")
_U32 = struct.Struct("<I")


@cache
def has_header(type_name: str) -> bool:
    """Tell whether the first field of a type is a `std_msgs/msg/Header`."""
    if type_name not in STORE.types:
        return False
    fields = STORE.get_msgdef(type_name).fields
    return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"


def header_stamp_ns(cdr: bytes | memoryview) -> int:
    """Read the stamp of a message that begins with a header."""
    seconds, nanoseconds = _STAMP.unpack_from(cdr, ENCAPSULATION)
    return int(seconds) * NS + int(nanoseconds)


def stamp_ns(record: Record) -> int:
    """Give the header's stamp where there is one (and it is set), else the publisher's time."""
    stamp = header_stamp_ns(record.cdr) if has_header(record.type_name) else 0
    return stamp or record.publish_time_ns


class Cursor:
    """Walk through CDR content; offsets count from behind the encapsulation header."""

    def __init__(self, cdr: bytes | memoryview) -> None:
        if cdr[1] != 1:
            raise EpisodeError(f"message has CDR encapsulation {cdr[1]}, needs 1 (little endian)")
        self._data = memoryview(cdr)[ENCAPSULATION:]
        self.at = 0

    def u32(self) -> int:
        """Read an unsigned 32-bit integer."""
        self._align(4)
        value = int(_U32.unpack_from(self._data, self.at)[0])
        self.at += 4
        return value

    def text(self) -> str:
        """Read a string."""
        length = self.u32()
        begin, self.at = self.at, self.at + length
        return str(self._data[begin : begin + max(length - 1, 0)], "utf-8")

    def header(self) -> int:
        """Read a header; give its stamp in ns."""
        seconds, nanoseconds = _STAMP.unpack_from(self._data, self.at)
        self.at += _STAMP.size
        self.text()
        return int(seconds) * NS + int(nanoseconds)

    def octets(self) -> NDArray[np.uint8]:
        """Read a sequence of uint8 without a copy."""
        length = self.u32()
        begin, self.at = self.at, self.at + length
        return np.frombuffer(self._data[begin : begin + length], dtype=np.uint8)

    def octet(self) -> int:
        """Read one uint8."""
        value = int(self._data[self.at])
        self.at += 1
        return value

    def doubles(self) -> NDArray[np.float64]:
        """Read a sequence of float64."""
        length = self.u32()
        if not length:
            return np.empty(0)
        self._align(8)
        begin, self.at = self.at, self.at + 8 * length
        return np.frombuffer(self._data[begin : self.at], dtype="<f8")

    def _align(self, size: int) -> None:
        self.at += -self.at % size
