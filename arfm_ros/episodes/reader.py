"""Read one episode, with or without an index, whole or cut off."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes import labels
from arfm_ros.episodes.edit.relabel import later_labels
from arfm_ros.episodes.scan import McapFile, Record
from arfm_ros.episodes.write.durable import in_use, partial_of
from arfm_ros.episodes.write.info import INFO_TOPIC
from arfm_ros.wire.cdr import Cursor, header_stamp_ns
from arfm_ros.wire.definitions import STORE, has_header, register

MARKS = ("arbiter/command", "arbiter/authority", "policy/action_chunk")


class EpisodeReader:
    """The messages of an episode folder (or of one MCAP file).

    `damage` lists in words what could not be read; it is empty for an episode that was closed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        paths = [self.folder] if self.folder.is_file() else sorted(self.folder.glob("*.mcap"))
        if not paths:
            raise EpisodeError(_no_episode(self.folder))
        self.files = [McapFile(path) for path in paths]
        self.topics: dict[str, str] = {}  # topic -> type name
        self._unknown: list[str] = []
        for file in self.files:
            self.topics.update(file.topics)
            for name, text in file.schemas.values():
                self._register(name, text)

    @property
    def damage(self) -> list[str]:
        """What could not be read, in words."""
        return [note for file in self.files for note in file.damage] + self._unknown

    def records(self, topics: Collection[str] | None = None) -> Iterator[Record]:
        """Yield serialized messages of `topics` (default: all) in the order of recording."""
        for file in self.files:
            yield from file.records(topics)

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Yield (stamp in ns, message) of one topic.

        The stamp is the header's where the type has one, else the publisher's time.
        """
        for record in self.records({topic}):
            yield stamp_ns(record), deserialized(record)

    def labels(self) -> list[dict[str, object]]:
        """Give every label in the order they were given, of whatever namespace.

        Those that were given after the recording come last.
        """
        return self._said(labels.LABEL_TOPIC) + later_labels(self.folder)

    def info(self) -> dict[str, object]:
        """Give what the episode says about itself: task, operator, versions, parameters, ..."""
        return labels.merge(self._said(INFO_TOPIC))

    def label(self) -> dict[str, object]:
        """Give the labels combined: later ones win."""
        return labels.merge(self.labels())

    @property
    def namespaces(self) -> list[str]:
        """Namespaces in which an arbiter or a policy was recorded: "" or "/left", ..."""
        ends = tuple("/" + mark for mark in MARKS)
        found = {t.removesuffix(end) for t in self.topics for end in ends if t.endswith(end)}
        return sorted(found)

    def find(self, relative: str) -> str | None:
        """Find the recorded topic of a name; None if absent. A name with a leading / is whole.

        A relative name is looked for in the episode's namespace, then at the root; only in an
        episode without arbiter and policy in any. Raises `EpisodeError` naming all that fit
        where these are several.
        """
        if relative.startswith("/"):
            return relative if relative in self.topics else None
        ending = "/" + relative
        homes = self.namespaces
        found = [home + ending for home in homes if home + ending in self.topics]
        if not found and ending in self.topics:
            found = [ending]
        if not found and not homes:
            found = [topic for topic in self.topics if topic.endswith(ending)]
        if len(found) > 1:
            raise EpisodeError(
                f"{self.folder} has several topics '{relative}': {', '.join(sorted(found))}; "
                "give the whole name in a topic map (--topics)"
            )
        return found[0] if found else None

    def _said(self, ending: str) -> list[dict[str, object]]:
        topics = {topic for topic in self.topics if topic.endswith(ending)}
        return [labels.parse_label(Cursor(r.cdr).text()) for r in self.records(topics)]

    def _register(self, name: str, text: str) -> None:
        try:
            register(name, text)
        except EpisodeError as error:
            self._unknown.append(str(error))


def _no_episode(folder: Path) -> str:
    partial = partial_of(folder)
    if not partial.is_dir():
        return f"{folder} holds no .mcap file: it is no episode"
    if any(in_use(path) for path in partial.glob("*.mcap")):
        return f"{folder} is still being recorded: read it once recorder/stop has answered"
    return f"{folder} was never finished, its recorder died: arfm episodes recover {partial}"


def deserialized(record: Record) -> Any:
    """Turn a record into a message; raises `EpisodeError` for one that is none of its type."""
    if record.type_name not in STORE.types:
        raise EpisodeError(f"{record.topic}: the bag does not tell what a {record.type_name} is")
    try:
        return STORE.deserialize_cdr(record.cdr, record.type_name)
    except (struct.error, ValueError, IndexError, KeyError, TypeError, AssertionError) as error:
        raise EpisodeError(
            f"{record.topic}: a message of {len(record.cdr)} bytes is no {record.type_name}"
        ) from error


def stamp_ns(record: Record) -> int:
    """Give the header's stamp where there is one (and it is set), else the publisher's time."""
    stamp = header_stamp_ns(record.cdr) if has_header(record.type_name) else 0
    return stamp or record.publish_time_ns
