"""Read an MCAP file record by record, also one that was cut off or damaged.

Layout: MCAP specification, version 0 (records are opcode u8, length u64, content; little endian).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame
import zstandard
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.read.index import HEAD, U16, U32, U64, read_index, walk
from arfm_ros.episodes.write.sink import CRC_KEY, topic_crc

CHUNK = struct.Struct("<QQQI")
MESSAGE = struct.Struct("<HIQQ")
KNOWN = range(Opcode.HEADER, Opcode.DATA_END + 1)
INDEXED = {Opcode.CHUNK, Opcode.MESSAGE_INDEX}  # what an index follows
CONTENT_MAX = 1 << 30  # bytes of a chunk; one that claims more is damaged
LZ4_RATIO_MAX = 256


def _lz4(data: memoryview, size: int) -> bytes:
    if size > LZ4_RATIO_MAX * len(data) + HEAD.size:
        raise RuntimeError("it claims more than it can hold")
    return bytes(lz4.frame.LZ4FrameDecompressor().decompress(bytes(data), size))


DECOMPRESS: dict[str, Callable[[memoryview, int], bytes]] = {
    "": lambda data, size: bytes(data),
    "lz4": _lz4,
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


@dataclass(frozen=True, slots=True)
class _Block:
    """Content of a chunk, or one whole message record outside of chunks (`bare`)."""

    start: int
    end: int
    bare: bool = False


class McapFile:
    """The whole records of one MCAP file; `damage` says what could not be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self.schemas: dict[int, tuple[str, str]] = {}  # id -> (type name, definition text)
        self.channels: dict[int, tuple[str, int]] = {}  # id -> (topic, schema id)
        self.notes: dict[int, dict[str, str]] = {}  # id of a channel -> its metadata
        self.metadata: dict[str, dict[str, str]] = {}  # metadata records by their name
        self._blocks: list[_Block] = []
        self._sure: set[int] = set()  # schemas that a checksum guards
        self._guarded = False  # topics have a checksum of their own
        with open(path, "rb") as file:
            if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
                raise EpisodeError(f"{path} is not an MCAP file (or is empty)")
            self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._index = read_index(self._data)
        self._learn_summary()
        self._find_blocks()
        if not self._knows_channels():
            for _ in self.records():  # collects schemas, channels and damaged chunks
                pass

    @property
    def indexed(self) -> bool:
        """Whether the file was closed with an index."""
        return self._index is not None

    @property
    def topics(self) -> dict[str, str]:
        """Topic -> type name; of channels whose type is known."""
        pairs = self.channels.values()
        return {topic: self.schemas[s][0] for topic, s in pairs if s in self.schemas}

    def records(self, topics: Collection[str] | None = None) -> Iterator[Record]:
        """Yield the messages of `topics` (default: all) in file order."""
        found: Counter[int] = Counter()
        for block in self._blocks:
            if self._may_skip(block, topics):
                continue
            content = self._content(block)
            for opcode, begin, end in walk(content):
                if opcode != Opcode.MESSAGE:
                    self._learn(opcode, content[begin:end], sure=True)
                    continue
                if topics is not None and self._is_other(content, begin, end, topics):
                    continue
                record = self._record(content[begin:end])
                if record is not None:
                    found[U16.unpack_from(content, begin)[0]] += 1
                    yield record
        self._compare(found, topics)

    def _is_other(
        self, content: memoryview, begin: int, end: int, topics: Collection[str]
    ) -> bool:
        """Tell whether a message is of a known topic that is not among `topics`."""
        if end - begin < MESSAGE.size:
            return False
        topic, schema = self.channels.get(U16.unpack_from(content, begin)[0], ("", -1))
        return schema in self.schemas and topic not in topics

    def _record(self, content: memoryview) -> Record | None:
        if len(content) < MESSAGE.size:
            self._note("a message without a head was left out")
            return None
        channel, sequence, log_ns, published_ns = MESSAGE.unpack_from(content)
        topic, schema = self.channels.get(channel, ("", -1))
        if schema not in self.schemas:
            self._note(f"messages of channel {channel}, whose topic or type is unknown")
            return None
        cdr, name = content[MESSAGE.size :], self.schemas[schema][0]
        return Record(topic, name, cdr, log_ns, published_ns, sequence)

    def _compare(self, found: Counter[int], topics: Collection[str] | None) -> None:
        """Say where a file that was closed holds another number of messages than it says."""
        counts = (self._index.counts if self._index else None) or {}
        for channel, count in counts.items():
            topic = self.channels.get(channel, ("", -1))[0]
            if found[channel] != count and (topics is None or topic in topics):
                read = f"{found[channel]} of {count} messages are readable"
                self._note(f"{topic or f'channel {channel}'}: {read}")

    def _may_skip(self, block: _Block, topics: Collection[str] | None) -> bool:
        if topics is None or block.bare or self._index is None or self._index.counts is None:
            return False
        held = self._index.chunks.get(block.start - HEAD.size)
        if not held:
            return False
        return not any(self.channels[c][0] in topics for c in held if c in self.channels)

    def _knows_channels(self) -> bool:
        counts = self._index.counts if self._index else None
        return counts is not None and set(counts) <= set(self.channels)

    def _learn_summary(self) -> None:
        """Take schemas and channels from where a checksum guards them."""
        if self._index is not None:
            for opcode, begin, end in walk(self._data, self._index.start):
                if opcode in {Opcode.SCHEMA, Opcode.CHANNEL}:
                    self._learn(opcode, self._data[begin:end], sure=True)

    def _find_blocks(self) -> None:
        """Note where chunks (and messages outside of chunks) lie."""
        whole, closed_well, before, over = len(MCAP0_MAGIC), False, 0, False
        for opcode, begin, end in walk(self._data, whole):
            whole, before, last = end, opcode, before
            if opcode == Opcode.CHUNK:
                self._blocks.append(_Block(begin, end))
            elif opcode == Opcode.MESSAGE and (over or last in INDEXED):
                self._note(f"a message at byte {begin - HEAD.size}, where an index should be")
            elif opcode == Opcode.MESSAGE:
                self._blocks.append(_Block(begin - HEAD.size, end, bare=True))
            elif opcode == Opcode.FOOTER and end + len(MCAP0_MAGIC) == len(self._data):
                closed_well = True
                if self._index is None and any(self._data[begin : begin + U64.size]):
                    self._note("the index at the end of the file is damaged")
                break
            elif opcode in KNOWN and opcode != Opcode.FOOTER:
                self._learn(opcode, self._data[begin:end])
            else:
                self._note(f"an unknown record ({opcode}) at byte {begin - HEAD.size}")
            over |= opcode == Opcode.DATA_END
        self._take_indexed()
        if not closed_well:
            lost = len(self._data) - whole
            self._note(
                "the recording was cut off before it was closed; "
                f"{lost} bytes of an unfinished chunk and what was not yet written are lost"
            )

    def _take_indexed(self) -> None:
        """Find chunks by the index too: behind a damaged record nothing else tells of them."""
        if self._index is None:
            return
        there = {block.start - HEAD.size for block in self._blocks if not block.bare}
        for at in sorted(set(self._index.chunks) - there):
            if self._data[at] == Opcode.CHUNK:
                self._blocks.append(_Block(at + HEAD.size, self._index.ends[at]))
            else:
                self._note(f"the chunk at byte {at} is damaged and was left out")
        self._blocks.sort(key=lambda block: block.start)

    def _content(self, block: _Block) -> memoryview:
        if block.bare:
            return self._data[block.start : block.end]
        content = b""
        try:
            _, _, size, crc = CHUNK.unpack_from(self._data, block.start)
            compression, at = _text(self._data[: block.end], block.start + CHUNK.size)
            stored = self._data[at + U64.size : block.end]
            if compression not in DECOMPRESS:
                self._note(f"'{compression}' chunks, needs one of: none, lz4, zstd")
            elif size <= CONTENT_MAX:
                content = DECOMPRESS[compression](stored, size)
            whole = len(content) == size and (crc == 0 or zlib.crc32(content) == crc)
        except (RuntimeError, zstandard.ZstdError, struct.error, ValueError):
            whole = False
        if whole:
            return memoryview(content)
        self._note(f"the chunk at byte {block.start} is damaged and was left out")
        return memoryview(b"")

    def _learn(self, opcode: int, content: memoryview, sure: bool = False) -> None:
        """Take a schema, channel or metadata record; one that a checksum guards is `sure`."""
        try:
            if opcode == Opcode.SCHEMA:
                name, at = _text(content, U16.size)
                _, at = _text(content, at)
                text, _ = _text(content, at)
                number = U16.unpack_from(content)[0]
                self._keep(self.schemas, number, (name, text), sure)
                self._sure |= {number} if sure else set()
            elif opcode == Opcode.CHANNEL:
                topic, at = _text(content, 2 * U16.size)
                number, schema = U16.unpack_from(content)[0], U16.unpack_from(content, 2)[0]
                _, at = _text(content, at)
                notes = _texts(content, at)
                if not sure:
                    self._check(topic, schema, notes.get(CRC_KEY, ""))
                self._keep(self.channels, number, (topic, schema), sure)
                self.notes.setdefault(number, notes)
            elif opcode == Opcode.METADATA:
                name, at = _text(content, 0)
                self.metadata[name] = _texts(content, at)
        except (struct.error, UnicodeDecodeError):
            self._note(f"a record of kind {opcode} cannot be read")

    def _check(self, topic: str, schema: int, crc: str) -> None:
        """Raise `struct.error` where a topic outside of any chunk is not what was written.

        One or its schema is damaged then: what is said of that schema elsewhere counts. A file in
        which some topics have a checksum is ours: one without is damaged too.
        """
        self._guarded |= bool(crc)
        if crc != topic_crc(topic, *self.schemas.get(schema, ("", ""))) and self._guarded:
            if schema not in self._sure:
                self.schemas.pop(schema, None)
            raise struct.error(f"{topic} is damaged")

    def _keep(self, known: dict[int, Any], number: int, said: tuple[str, Any], sure: bool) -> None:
        """Take what is said about a number; of two the sure one counts, else the first."""
        if known.setdefault(number, said) == said:
            return
        self._note(f"the file says two things about number {number}: {said[0]}")
        if sure:
            known[number] = said

    def _note(self, text: str) -> None:
        if text not in self.damage:
            self.damage.append(text)


def _text(data: memoryview, at: int) -> tuple[str, int]:
    length = U32.unpack_from(data, at)[0]
    begin = at + U32.size
    if begin + length > len(data):
        raise struct.error("a text is longer than its record")
    return str(data[begin : begin + length], "utf-8"), begin + length


def _texts(data: memoryview, at: int) -> dict[str, str]:
    end = at + U32.size + U32.unpack_from(data, at)[0]
    at, found = at + U32.size, {}
    while at < end:
        key, at = _text(data, at)
        found[key], at = _text(data, at)
    return found
