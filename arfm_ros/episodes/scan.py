"""Read an MCAP file record by record, also one that was cut off or damaged.

Layout: MCAP specification, version 0 (records are opcode u8, length u64, content; little endian).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lz4.frame
import zstandard
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC

from arfm_ros.core.errors import EpisodeError

HEAD = struct.Struct("<BQ")
CHUNK = struct.Struct("<QQQI")
MESSAGE = struct.Struct("<HIQQ")
U16, U32, U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")

DECOMPRESS: dict[str, Callable[[memoryview, int], bytes]] = {
    "": lambda data, size: bytes(data),
    "lz4": lambda data, size: lz4.frame.decompress(data),
    "zstd": lambda data, size: zstandard.decompress(data, max_output_size=size),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it lies in the file; `sequence` is the publisher's counter, 0 if unknown."""

    topic: str
    type_name: str
    cdr: memoryview
    log_time_ns: int
    publish_time_ns: int
    sequence: int


@dataclass(slots=True)
class _Block:
    """Content of a chunk, or one whole message record outside of chunks (`bare`)."""

    start: int
    end: int
    bare: bool = False
    channels: set[int] = field(default_factory=set)  # from the message indexes behind it


class McapFile:
    """The whole records of one MCAP file; `damage` says what could not be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self.schemas: dict[int, tuple[str, str]] = {}  # id -> (type name, definition text)
        self.channels: dict[int, tuple[str, int]] = {}  # id -> (topic, schema id)
        self._blocks: list[_Block] = []
        self._closed_well = False
        self._summary = False
        with open(path, "rb") as file:
            if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
                raise EpisodeError(f"{path} is not an MCAP file (or is empty)")
            self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._find_blocks()
        if not self._summary:
            for _ in self.records():  # collects schemas, channels and damaged chunks
                pass

    @property
    def topics(self) -> dict[str, str]:
        """Topic -> type name."""
        return {topic: self.schemas[schema][0] for topic, schema in self.channels.values()}

    def records(self, topics: Collection[str] | None = None) -> Iterator[Record]:
        """Yield the messages of `topics` (default: all) in file order."""
        for block in self._blocks:
            if self._may_skip(block, topics):
                continue
            content = self._content(block)
            for opcode, begin, end in _walk(content):
                if opcode != Opcode.MESSAGE:
                    self._learn(opcode, content[begin:end])
                    continue
                channel, sequence, log_ns, published_ns = MESSAGE.unpack_from(content, begin)
                topic, schema = self.channels[channel]
                if topics is None or topic in topics:
                    cdr = content[begin + MESSAGE.size : end]
                    name = self.schemas[schema][0]
                    yield Record(topic, name, cdr, log_ns, published_ns, sequence)

    def _may_skip(self, block: _Block, topics: Collection[str] | None) -> bool:
        if topics is None or not block.channels or not self._summary:
            return False
        return not any(self.channels[c][0] in topics for c in block.channels if c in self.channels)

    def _find_blocks(self) -> None:
        """Note where chunks (and messages outside of chunks) lie; read the summary's channels."""
        whole = len(MCAP0_MAGIC)
        for opcode, begin, end in _walk(self._data, whole):
            whole = end
            if opcode == Opcode.CHUNK:
                self._blocks.append(_Block(begin, end))
            elif opcode == Opcode.MESSAGE_INDEX and self._blocks:
                self._blocks[-1].channels.add(U16.unpack_from(self._data, begin)[0])
            elif opcode == Opcode.MESSAGE:
                self._blocks.append(_Block(begin - HEAD.size, end, bare=True))
            elif opcode == Opcode.FOOTER:
                self._closed_well = True
                self._summary = U64.unpack_from(self._data, begin)[0] > 0
                break
            else:
                self._learn(opcode, self._data[begin:end])
        if not self._closed_well:
            lost = len(self._data) - whole
            self.damage.append(
                "the recording was cut off before it was closed; "
                f"{lost} bytes of an unfinished chunk and what was not yet written are lost"
            )

    def _content(self, block: _Block) -> memoryview:
        if block.bare:
            return self._data[block.start : block.end]
        _, _, size, crc = CHUNK.unpack_from(self._data, block.start)
        compression, at = _text(self._data, block.start + CHUNK.size)
        stored = self._data[at + U64.size : block.end]
        if compression not in DECOMPRESS:
            raise EpisodeError(
                f"{self.path} has '{compression}' chunks, needs one of: none, lz4, zstd"
            )
        try:
            content = DECOMPRESS[compression](stored, size)
        except (RuntimeError, zstandard.ZstdError):
            content = b""
        if len(content) == size and (crc == 0 or zlib.crc32(content) == crc):
            return memoryview(content)
        note = f"the chunk at byte {block.start} is damaged and was left out"
        if note not in self.damage:
            self.damage.append(note)
        return memoryview(b"")

    def _learn(self, opcode: int, content: memoryview) -> None:
        if opcode == Opcode.SCHEMA:
            name, at = _text(content, U16.size)
            _, at = _text(content, at)
            text, _ = _text(content, at)
            self.schemas[U16.unpack_from(content)[0]] = (name, text)
        elif opcode == Opcode.CHANNEL:
            topic, _ = _text(content, 2 * U16.size)
            self.channels[U16.unpack_from(content)[0]] = (topic, U16.unpack_from(content, 2)[0])


def _walk(data: memoryview, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, begin, end) of every whole record."""
    while at + HEAD.size <= len(data):
        opcode, length = HEAD.unpack_from(data, at)
        begin = at + HEAD.size
        if opcode == 0 or begin + length > len(data):
            return
        at = begin + length
        yield opcode, begin, at


def _text(data: memoryview, at: int) -> tuple[str, int]:
    length = U32.unpack_from(data, at)[0]
    begin = at + U32.size
    return str(data[begin : begin + length], "utf-8"), begin + length
