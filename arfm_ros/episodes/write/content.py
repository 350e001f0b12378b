"""What is in an episode's file: its topics, its span of time, and what was said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from arfm_ros.episodes.labels import DISCARDED_KEY, LABEL_TOPIC, parse_label
from arfm_ros.episodes.write import manifest, metadata
from arfm_ros.episodes.write.account import TopicAccount
from arfm_ros.episodes.write.info import INFO_TOPIC
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.wire.cdr import Cursor
from arfm_ros.wire.definitions import Definition
from arfm_ros.wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Making:
    """How an episode comes about, where it is not simply recorded."""

    state: str = manifest.SAVED
    suffix: str = ""  # of the folder until it is closed; none: that of one being recorded
    lost: tuple[str, ...] = ()  # what is known to be missing, in words
    source_sha256: str = ""
    info: Mapping[str, object] = field(default_factory=dict)  # told in the file's first bytes


@dataclass(slots=True)
class TopicRow:
    """One topic of the file; `saved` messages are in chunks that are on the disk."""

    type_name: str
    about: Definition
    qos: OfferedQos
    channel: int
    schema: int
    account: TopicAccount
    saved: int = 0

    @property
    def count(self) -> int:
        """Messages taken, on the disk or not."""
        return self.account.span.count


@dataclass(slots=True)
class Content:
    """All of it, kept up to date by the writer."""

    making: Making
    topics: dict[str, TopicRow] = field(default_factory=dict)
    label: dict[str, object] = field(default_factory=dict)
    info: dict[str, object] = field(default_factory=dict)
    start_ns: int = metadata.EMPTY_START_NS
    end_ns: int = 0
    saved_end_ns: int = 0

    def add(self, topic: str, cdr: bytes, log_time_ns: int, sequence: int) -> None:
        """Count one message of a known topic."""
        self.topics[topic].account.add(cdr, log_time_ns, sequence)
        self.start_ns = min(self.start_ns, log_time_ns)
        self.end_ns = max(self.end_ns, log_time_ns)
        if topic.endswith((LABEL_TOPIC, INFO_TOPIC)):
            self._note(topic, cdr)

    def all_saved(self) -> None:
        """Note that everything so far is on the disk."""
        self.saved_end_ns = self.end_ns
        for row in self.topics.values():
            row.saved = row.count

    def summary(self, file_name: str, failure: str) -> metadata.BagSummary:
        """Give what `metadata.yaml` says."""
        topics = [
            metadata.TopicSummary(name, row.type_name, row.about.rihs01, row.qos, row.saved)
            for name, row in self.topics.items()
        ]
        notes = {"truncated": failure} if failure else {}
        return metadata.BagSummary(file_name, topics, self.start_ns, self.saved_end_ns, notes)

    def manifest(self, file: Mapping[str, Any], reasons: tuple[str, ...]) -> manifest.Manifest:
        """Give the manifest; `file`: its name as `mcap`, `bytes`, `sha256`."""
        topics = {n: row.account.as_json(row.saved) for n, row in self.topics.items() if row.count}
        verdict, why = manifest.judge(topics, (*self.making.lost, *reasons))
        discarded = self.label.get(DISCARDED_KEY) is True
        return manifest.Manifest(
            **file,
            state=manifest.DISCARDED if discarded else self.making.state,
            start_ns=self.start_ns,
            end_ns=self.saved_end_ns,
            messages=sum(row.saved for row in self.topics.values()),
            topics=topics,
            label=self.label,
            info=self.info,
            verdict=verdict,
            reasons=why,
            lost=self.making.lost,
            source_sha256=self.making.source_sha256,
        )

    def _note(self, topic: str, cdr: bytes) -> None:
        try:
            said = parse_label(Cursor(cdr).text())
        except WireError:
            return  # whoever reads the message says so
        (self.label if topic.endswith(LABEL_TOPIC) else self.info).update(said)
