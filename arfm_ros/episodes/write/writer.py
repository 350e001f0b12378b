"""Write one episode: a folder with an MCAP file that stays readable whatever happens."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from mcap.records import Channel, Schema
from mcap.writer import CompressionType, Writer

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.labels import LABEL_TOPIC, label_message
from arfm_ros.episodes.write import manifest, metadata
from arfm_ros.episodes.write.account import TopicAccount
from arfm_ros.episodes.write.content import Content, Making, TopicRow
from arfm_ros.episodes.write.durable import PARTIAL, move_into_place, sync_folder
from arfm_ros.episodes.write.info import (
    INFO_TOPIC,
    METADATA_NAME,
    info_message,
    metadata_record,
)
from arfm_ros.episodes.write.metadata import OfferedQos, qos_yaml
from arfm_ros.episodes.write.sink import CRC_KEY, Sink, head, tail, topic_crc
from arfm_ros.wire.definitions import Definition, definition

MCAP_NAME = "episode.mcap"
CHUNK_BYTES = 8 * 1024 * 1024
SYNC_S = 0.15  # steady time from a chunk's first message until it is on the disk, at most
RESERVE_BYTES = 512 * 1024  # room for the last label, metadata and manifest on a full disk


class EpisodeWriter:
    """Write messages into `folder`, which must not exist yet and appears when it is closed.

    Until then it is `<folder>.partial`. Chunks are closed and synced to the disk at the latest
    `SYNC_S` after their first message, as long as `write` or `flush_if_due` is called, so that the
    file of a killed process or of a machine without power is readable up to there. An I/O error
    (full disk) closes the episode: the file is cut back to its last whole chunk and labelled as
    truncated, and `EpisodeError` is raised.
    """

    def __init__(
        self,
        folder: Path,
        qos: Mapping[str, OfferedQos] | None = None,
        making: Making | None = None,
    ) -> None:
        self.folder = Path(folder)
        making = making or Making()
        self.work = self.folder.with_name(self.folder.name + (making.suffix or PARTIAL))
        self._make_folder()
        self._qos = dict(qos or {})
        self._content = Content(making, info=dict(making.info))
        self._schemas: dict[str, int] = {}
        self._chunk_bytes, self._chunk_due_s = 0, 0.0
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
            for name, topic in self._content.topics.items()
        }

    @property
    def bytes_written(self) -> int:
        """Size of the file."""
        return self._sink.tell()

    @property
    def due_s(self) -> float:
        """Until when (monotonic) the open chunk has to be on the disk; inf without one."""
        return self._chunk_due_s if self._chunk_bytes else float("inf")

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
        row = self._content.topics.get(topic)
        try:
            if row is None:
                row = self._register(topic, type_name)
            elif row.type_name != type_name:
                raise EpisodeError(
                    f"topic {topic} has type {row.type_name}, this message is a {type_name}"
                )
            self.flush_if_due()
            if not self._chunk_bytes:
                self._chunk_due_s = time.monotonic() + SYNC_S
            published = log_time_ns if publish_time_ns is None else publish_time_ns
            self._mcap.add_message(row.channel, log_time_ns, cdr, published, sequence)
            self._content.add(topic, cdr, log_time_ns, sequence)
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

    def tell(self, info: Mapping[str, object], stamp_ns: int) -> None:
        """Write what the episode says about itself (JSON on `/episode/info`)."""
        type_name, cdr = info_message(info)
        self.write(INFO_TOPIC, type_name, cdr, stamp_ns)

    def flush(self) -> None:
        """Put everything written so far on the disk."""
        self._check_open()
        try:
            self._flush()
        except OSError as error:
            self._fail(error, self._content.end_ns)

    def flush_if_due(self) -> None:
        """Put the open chunk on the disk if it has waited for `SYNC_S`."""
        if self._chunk_bytes and time.monotonic() >= self._chunk_due_s:
            self.flush()

    def close(self, reasons: tuple[str, ...] = ()) -> Path:
        """Finish file, `metadata.yaml` and manifest; return the folder. Twice is allowed.

        `reasons`: what is known to be wrong with it, for the verdict.
        """
        if self._closed:
            return self.folder
        try:
            self._flush()
            if self._content.info != self._content.making.info:
                self._mcap.add_metadata(METADATA_NAME, metadata_record(self._content.info))
            self._mcap.finish()
            self._sink.flush()
            self._finish(reasons)
        except FileExistsError as error:
            self._release()
            raise EpisodeError(f"{error}: what was recorded is in {self.work}") from error
        except OSError as error:
            self._fail(error, self._content.end_ns)
        self._release()
        return self.folder

    def _make_folder(self) -> None:
        try:
            if self.folder.exists():
                raise FileExistsError
            self.work.mkdir(parents=True)
        except FileExistsError:
            raise EpisodeError(
                f"episode folder {self.folder} exists already (or {self.work.name}) and is not "
                "overwritten: name another"
            ) from None
        except OSError as error:
            raise EpisodeError(
                f"cannot make episode folder {self.folder}: {error.strerror}"
            ) from error

    def _open(self) -> None:
        self._sink = Sink(self.work / MCAP_NAME)
        self._mcap = Writer(
            self._sink,  # type: ignore[arg-type]
            chunk_size=2**62,  # chunks end where `_flush` says, so that counts match the file
            compression=CompressionType.LZ4,
        )
        self._mcap.start(profile="ros2", library="arfm_ros")
        if self._content.info:
            self._mcap.add_metadata(METADATA_NAME, metadata_record(self._content.info))
        self._register(LABEL_TOPIC, "std_msgs/msg/String")
        self._sink.flush()
        self._reserve = tempfile.TemporaryFile(dir=self.work)
        os.posix_fallocate(self._reserve.fileno(), 0, RESERVE_BYTES)
        sync_folder(self.work)
        sync_folder(self.work.parent)

    def _check_open(self) -> None:
        if self.failure:
            raise EpisodeError(f"episode {self.folder} ended early: {self.failure}")
        if self._closed:
            raise EpisodeError(f"episode {self.folder} is closed")

    def _register(self, topic: str, type_name: str) -> TopicRow:
        about = definition(type_name)
        qos = self._qos.get(topic, OfferedQos())
        if type_name not in self._schemas:
            self._schemas[type_name] = self._mcap.register_schema(
                type_name, "ros2msg", about.text.encode()
            )
        schema = self._schemas[type_name]
        channel = self._mcap.register_channel(
            topic, "cdr", schema, _channel_notes(topic, type_name, about, qos)
        )
        row = TopicRow(type_name, about, qos, channel, schema, TopicAccount(type_name))
        self._sink.write(head(*_records(topic, row)))
        self._content.topics[topic] = row
        return row

    def _flush(self) -> None:
        if not self._chunk_bytes:
            return
        self._mcap.flush()
        self._chunk_bytes = 0
        self._content.all_saved()

    def _finish(self, reasons: tuple[str, ...]) -> None:
        """Write what goes beside the file, and give the folder its name."""
        metadata.save(self.work, self._content.summary(MCAP_NAME, self.failure))
        early = (f"ended early: {self.failure}",) if self.failure else ()
        file = {"mcap": MCAP_NAME, "bytes": self._sink.tell(), "sha256": self._sink.sha256}
        manifest.save(self.work, self._content.manifest(file, (*early, *reasons)))
        move_into_place(self.work, self.folder)

    def _fail(self, error: OSError, stamp_ns: int) -> None:
        """Cut the file back to what is whole, say in it why it ends there, and raise."""
        self.failure = f"cannot write to {self.folder}: {error.strerror or error}"
        if self._reserve is not None:
            self._reserve.close()  # gives the reserved room back
        try:
            self._sink.cut()
            self._sink.write(self._tail(stamp_ns))
            self._sink.flush()
            self._content.topics[LABEL_TOPIC].saved += 1
        except OSError:
            self._sink.cut()  # the reader does without a tail
        kept = self.folder
        try:
            self._finish(())
        except OSError:
            kept = self.work  # `arfm episodes recover` does the rest where there is room
        self._release()
        raise EpisodeError(
            f"{self.failure}; what was recorded until then is kept in {kept}. "
            "Free some space or set another folder ('out')"
        ) from error

    def _tail(self, stamp_ns: int) -> bytes:
        row = self._content.topics[LABEL_TOPIC]
        label = {"truncated": True, "reason": self.failure}
        self._content.label.update(label)
        type_name, cdr = label_message(label)
        return tail(*_records(LABEL_TOPIC, row), cdr, stamp_ns)

    def _release(self) -> None:
        self._closed = True
        self._sink.close()
        if self._reserve is not None:
            self._reserve.close()


def _records(topic: str, row: TopicRow) -> tuple[Schema, Channel]:
    text = row.about.text.encode()
    schema = Schema(id=row.schema, name=row.type_name, encoding="ros2msg", data=text)
    notes = _channel_notes(topic, row.type_name, row.about, row.qos)
    return schema, Channel(row.channel, topic, "cdr", notes, row.schema)


def _channel_notes(
    topic: str, type_name: str, about: Definition, qos: OfferedQos
) -> dict[str, str]:
    crc = topic_crc(topic, type_name, about.text)
    notes = {"offered_qos_profiles": qos_yaml(qos), "topic_type_hash": about.rihs01}
    return {**notes, CRC_KEY: crc}
