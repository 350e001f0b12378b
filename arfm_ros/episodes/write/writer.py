"""Write one episode: a folder with an MCAP file that stays readable whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mcap.records import Channel, Schema
from mcap.writer import CompressionType, Writer

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.labels import LABEL_TOPIC, label_message
from arfm_ros.episodes.write import metadata
from arfm_ros.episodes.write.metadata import OfferedQos, qos_yaml
from arfm_ros.episodes.write.sink import Sink, tail
from arfm_ros.wire.definitions import Definition, definition

MCAP_NAME = "episode_0.mcap"
CHUNK_BYTES = 4 * 1024 * 1024
CHUNK_NS = 1_000_000_000  # what a killed process loses at most
RESERVE_BYTES = 128 * 1024  # room for the last label and metadata on a full disk


@dataclass(slots=True)
class _Topic:
    type_name: str
    about: Definition
    qos: OfferedQos
    channel: int
    schema: int
    count: int = 0
    saved: int = 0  # messages in chunks that are in the file


class EpisodeWriter:
    """Write messages into `folder`, which must not exist yet.

    Chunks reach the operating system at least once per second of log time, so that the file of a
    killed process is readable up to there. An I/O error (full disk) closes the episode: the file
    is cut back to its last whole chunk and labelled as truncated, and `EpisodeError` is raised.
    """

    def __init__(self, folder: Path, qos: Mapping[str, OfferedQos] | None = None) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise EpisodeError(
                f"episode folder {folder} exists already and is not overwritten: name another"
            ) from None
        except OSError as error:
            raise EpisodeError(f"cannot make episode folder {folder}: {error.strerror}") from error
        self._qos = dict(qos or {})
        self._topics: dict[str, _Topic] = {}
        self._schemas: dict[str, int] = {}
        self._start_ns, self._end_ns, self._saved_end_ns = metadata.EMPTY_START_NS, 0, 0
        self._chunk_bytes, self._chunk_start_ns = 0, 0
        self._closed = False
        self.failure = ""  # why the episode ended early; empty while all is well
        self._reserve: IO[bytes] | None = None
        try:
            self._open()
        except OSError as error:
            raise EpisodeError(f"cannot write into {folder}: {error.strerror}") from error

    @property
    def counts(self) -> dict[str, int]:
        """Messages taken so far, per topic; after a failure those that are in the file."""
        return {
            name: topic.saved if self.failure else topic.count
            for name, topic in self._topics.items()
        }

    @property
    def bytes_written(self) -> int:
        """Size of the file."""
        return self._sink.tell()

    def write(
        self,
        topic: str,
        type_name: str,
        cdr: bytes,
        log_time_ns: int,
        publish_time_ns: int | None = None,
        sequence: int = 0,
    ) -> None:
        """Add one serialized message; `sequence` is the publisher's counter where it is known.

        Raises `EpisodeError` when the type is unknown, another than before, or the disk is full.
        """
        self._check_open()
        row = self._topics.get(topic)
        try:
            if row is None:
                row = self._register(topic, type_name)
            elif row.type_name != type_name:
                raise EpisodeError(
                    f"topic {topic} has type {row.type_name}, this message is a {type_name}"
                )
            if self._chunk_bytes and log_time_ns - self._chunk_start_ns >= CHUNK_NS:
                self._flush()
            if not self._chunk_bytes:
                self._chunk_start_ns = log_time_ns
            published = log_time_ns if publish_time_ns is None else publish_time_ns
            self._mcap.add_message(row.channel, log_time_ns, cdr, published, sequence)
            row.count += 1
            self._start_ns = min(self._start_ns, log_time_ns)
            self._end_ns = max(self._end_ns, log_time_ns)
            self._chunk_bytes += len(cdr) + 31
            if self._chunk_bytes >= CHUNK_BYTES:
                self._flush()
        except OSError as error:
            self._fail(error, log_time_ns)

    def label(self, label: Mapping[str, object], stamp_ns: int) -> None:
        """Write a label (JSON on `/episode/label`) and put it on the disk at once."""
        type_name, cdr = label_message(label)
        self.write(LABEL_TOPIC, type_name, cdr, stamp_ns)
        self.flush()

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._check_open()
        try:
            self._flush()
        except OSError as error:
            self._fail(error, self._end_ns)

    def close(self) -> Path:
        """Finish the file and `metadata.yaml`; return the folder. Closing twice is allowed."""
        if self._closed:
            return self.folder
        try:
            self._flush()
            self._mcap.finish()
            self._sink.flush()
            self._save_metadata()
        except OSError as error:
            self._fail(error, self._end_ns)
        self._release()
        return self.folder

    def _open(self) -> None:
        self._sink = Sink(self.folder / MCAP_NAME)
        self._mcap = Writer(
            self._sink,  # type: ignore[arg-type]
            chunk_size=2**62,  # chunks end where `_flush` says, so that counts match the file
            compression=CompressionType.LZ4,
        )
        self._mcap.start(profile="ros2", library="arfm_ros")
        self._sink.flush()
        self._reserve = tempfile.TemporaryFile(dir=self.folder)
        self._reserve.write(bytes(RESERVE_BYTES))
        self._reserve.flush()
        self._register(LABEL_TOPIC, "std_msgs/msg/String")
        self._save_metadata()

    def _check_open(self) -> None:
        if self.failure:
            raise EpisodeError(f"episode {self.folder} ended early: {self.failure}")
        if self._closed:
            raise EpisodeError(f"episode {self.folder} is closed")

    def _register(self, topic: str, type_name: str) -> _Topic:
        about = definition(type_name)
        qos = self._qos.get(topic, OfferedQos())
        if type_name not in self._schemas:
            self._schemas[type_name] = self._mcap.register_schema(
                type_name, "ros2msg", about.text.encode()
            )
        schema = self._schemas[type_name]
        channel = self._mcap.register_channel(topic, "cdr", schema, _channel_notes(about, qos))
        row = _Topic(type_name, about, qos, channel, schema)
        self._topics[topic] = row
        return row

    def _flush(self) -> None:
        if not self._chunk_bytes:
            return
        self._mcap.flush()
        self._chunk_bytes = 0
        self._saved_end_ns = self._end_ns
        for topic in self._topics.values():
            topic.saved = topic.count
        self._save_metadata()

    def _save_metadata(self) -> None:
        topics = [
            metadata.TopicSummary(name, t.type_name, t.about.rihs01, t.qos, t.saved)
            for name, t in self._topics.items()
        ]
        notes = {"truncated": self.failure} if self.failure else {}
        metadata.save(
            self.folder,
            metadata.BagSummary(MCAP_NAME, topics, self._start_ns, self._saved_end_ns, notes),
        )

    def _fail(self, error: OSError, stamp_ns: int) -> None:
        """Cut the file back to what is whole, say in it why it ends there, and raise."""
        self.failure = f"cannot write to {self.folder}: {error.strerror or error}"
        if self._reserve is not None:
            self._reserve.close()  # gives the reserved room back
        try:
            self._sink.cut()
            self._sink.write(self._tail(stamp_ns))
            self._sink.flush()
            self._topics[LABEL_TOPIC].saved += 1
        except OSError:
            self._sink.cut()  # the reader does without a tail
        try:
            self._save_metadata()
        except OSError:
            pass  # the one from the last chunk stays
        self._release()
        raise EpisodeError(
            f"{self.failure}; what was recorded until then is kept. "
            "Free some space or set another folder ('out')"
        ) from error

    def _tail(self, stamp_ns: int) -> bytes:
        row = self._topics[LABEL_TOPIC]
        type_name, cdr = label_message({"truncated": True, "reason": self.failure})
        text = row.about.text.encode()
        schema = Schema(id=row.schema, name=type_name, encoding="ros2msg", data=text)
        notes = _channel_notes(row.about, row.qos)
        channel = Channel(row.channel, LABEL_TOPIC, "cdr", notes, row.schema)
        return tail(schema, channel, cdr, stamp_ns)

    def _release(self) -> None:
        self._closed = True
        self._sink.close()
        if self._reserve is not None:
            self._reserve.close()


def _channel_notes(about: Definition, qos: OfferedQos) -> dict[str, str]:
    return {"offered_qos_profiles": qos_yaml(qos), "topic_type_hash": about.rihs01}
