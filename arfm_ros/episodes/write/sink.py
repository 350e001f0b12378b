"""The file under an MCAP writer: knows where its last whole chunk ended and can end there."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import replace
from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.records import Channel, DataEnd, Footer, Message, Schema
from mcap.writer import MCAP0_MAGIC

from arfm_ros.episodes.write.durable import lock

CRC_KEY = "arfm_crc32"  # in the metadata of a channel: a checksum of it and of its schema


class Sink:
    """An unbuffered file, so that what was written survives the process. Never overwrites.

    It is locked while it is open, which tells a living writer from one that was killed.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", buffering=0)
        lock(self._file.fileno())
        self._position = 0
        self._whole = 0
        self._hash = hashlib.sha256()
        self._whole_hash = self._hash.copy()

    def write(self, data: bytes) -> int:
        """Write all of `data`; raises OSError when the disk is full."""
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            self._hash.update(view[:written])
            self._position += written
            view = view[written:]
        return len(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._position

    def flush(self) -> None:
        """Put everything on the disk, and note that up to here it is whole records.

        Raises OSError: some file systems find out only now that there is no room.
        """
        os.fdatasync(self._file.fileno())
        self._whole = self._position
        self._whole_hash = self._hash.copy()

    def cut(self) -> None:
        """Drop what was written after the last `flush`."""
        self._file.truncate(self._whole)
        self._file.seek(self._whole)
        self._position = self._whole
        self._hash = self._whole_hash.copy()

    @property
    def sha256(self) -> str:
        """Hash of what was written."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def topic_crc(topic: str, type_name: str, text: str) -> str:
    """Give the checksum of what a topic is."""
    said = "\n".join((topic, type_name, text)).encode()
    return f"{zlib.crc32(said):08x}"


def head(schema: Schema, channel: Channel) -> bytes:
    """Say outside of any chunk what a topic is: a chunk that is damaged must not take it along.

    Nothing but its own checksum guards it there.
    """
    crc = topic_crc(channel.topic, schema.name, schema.data.decode())
    builder = RecordBuilder()
    schema.write(builder)
    replace(channel, metadata={**channel.metadata, CRC_KEY: crc}).write(builder)
    return bytes(builder.end())


def tail(schema: Schema, channel: Channel, cdr: bytes, stamp_ns: int) -> bytes:
    """Make the end of an MCAP file without an index: one message, then the closing records."""
    builder = RecordBuilder()
    Message(channel.id, stamp_ns, cdr, stamp_ns, 0).write(builder)
    DataEnd(0).write(builder)
    Footer(summary_start=0, summary_offset_start=0, summary_crc=0).write(builder)
    return head(schema, channel) + bytes(builder.end()) + MCAP0_MAGIC
