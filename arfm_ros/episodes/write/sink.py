"""The file under an MCAP writer: knows where its last whole chunk ended and can end there."""

from __future__ import annotations

from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.records import Channel, DataEnd, Footer, Message, Schema
from mcap.writer import MCAP0_MAGIC


class Sink:
    """An unbuffered file, so that what was written survives the process. Never overwrites."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", buffering=0)
        self._position = 0
        self._whole = 0

    def write(self, data: bytes) -> int:
        """Write all of `data`; raises OSError when the disk is full."""
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            self._position += written
            view = view[written:]
        return len(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._position

    def flush(self) -> None:
        """Note that everything up to here is whole records."""
        self._whole = self._position

    def cut(self) -> None:
        """Drop what was written after the last `flush`."""
        self._file.truncate(self._whole)
        self._file.seek(self._whole)
        self._position = self._whole

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def tail(schema: Schema, channel: Channel, cdr: bytes, stamp_ns: int) -> bytes:
    """Make the end of an MCAP file without an index: one message, then the closing records."""
    builder = RecordBuilder()
    schema.write(builder)
    channel.write(builder)
    Message(channel.id, stamp_ns, cdr, stamp_ns, 0).write(builder)
    DataEnd(0).write(builder)
    Footer(summary_start=0, summary_offset_start=0, summary_crc=0).write(builder)
    return bytes(builder.end()) + MCAP0_MAGIC
