"""The summary at the end of an MCAP file: where its chunks lie and how many messages they hold.

It is believed only where its own checksum holds (or, as some writers leave it, is 0).
Layout: MCAP specification, version 0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC

HEAD = struct.Struct("<BQ")
FOOTER = struct.Struct("<QQI")
U16, U32, U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
PLACE = struct.Struct("<QQQQ")  # message start and end, chunk start and length
ENTRY = struct.Struct("<HQ")  # channel, offset or count
COUNTS_AT = 42  # where a statistics record counts by channel


@dataclass(frozen=True, slots=True)
class Index:
    """Chunk (its record's place in the file) -> channels in it; messages by channel."""

    start: int = 0  # where the summary begins
    chunks: Mapping[int, frozenset[int]] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    counts: Mapping[int, int] | None = None  # None: nothing is said about it


def walk(data: memoryview, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, begin, end) of every whole record."""
    while at + HEAD.size <= len(data):
        opcode, length = HEAD.unpack_from(data, at)
        begin = at + HEAD.size
        if opcode == 0 or begin + length > len(data):
            return
        at = begin + length
        yield opcode, begin, at


def read_index(data: memoryview) -> Index | None:
    """Read the index of a file that was closed; None where there is none to rely on."""
    end = len(data) - len(MCAP0_MAGIC)
    footer = end - FOOTER.size
    if footer < HEAD.size or data[end:] != MCAP0_MAGIC:
        return None
    start, _, crc = FOOTER.unpack_from(data, footer)
    head = footer - HEAD.size
    if data[head] != Opcode.FOOTER or not len(MCAP0_MAGIC) <= start <= head:
        return None
    if crc and zlib.crc32(data[start : end - U32.size]) != crc:
        return None
    try:
        return _read(data[start:head], start)
    except struct.error:
        return None


def _read(summary: memoryview, start: int) -> Index | None:
    chunks: dict[int, frozenset[int]] = {}
    ends: dict[int, int] = {}
    counts: dict[int, int] | None = None
    for opcode, begin, end in walk(summary):
        if opcode == Opcode.CHUNK_INDEX:
            _, _, at, length = PLACE.unpack_from(summary, begin)
            if at + length > start or length < HEAD.size:
                return None
            chunks[at] = frozenset(_entries(summary[begin:end], PLACE.size))
            ends[at] = at + length
        elif opcode == Opcode.STATISTICS:
            counts = _entries(summary[begin:end], COUNTS_AT)
    return Index(start, chunks, ends, counts)


def _entries(record: memoryview, at: int) -> dict[int, int]:
    length = U32.unpack_from(record, at)[0]
    begin = at + U32.size
    if begin + length > len(record):
        raise struct.error("a map is longer than its record")
    return dict(ENTRY.iter_unpack(record[begin : begin + length - length % ENTRY.size]))
