"""Check an episode: what each topic holds, how regularly, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.write.ledger import Span

IRREGULAR = 1.5  # a gap of so many median periods has lost at least one frame


@dataclass(frozen=True, slots=True)
class TopicAudit:
    """One topic; times are stamps (of the header where there is one)."""

    type_name: str
    count: int
    rate_hz: float
    gap_max_s: float
    monotonic: bool
    lost: int


@dataclass(frozen=True, slots=True)
class EpisodeAudit:
    """The whole episode; `damage` is empty for one that was closed properly."""

    folder: Path
    duration_s: float
    topics: Mapping[str, TopicAudit]
    label: Mapping[str, object]
    damage: tuple[str, ...]

    @property
    def lost(self) -> int:
        """Messages that were published but are not in the episode."""
        return sum(topic.lost for topic in self.topics.values())


@dataclass(slots=True)
class _Seen:
    type_name: str
    stamps: list[int] = field(default_factory=list)
    span: Span = field(default_factory=Span)


def audit(folder: Path) -> EpisodeAudit:
    """Read every message of an episode once and report.

    Lost messages are gaps in the publisher's own numbers where the recorder noted them; for camera
    frames without numbers, gaps in the stamps of more than 1.5 median periods.
    """
    reader = EpisodeReader(Path(folder))
    seen = {name: _Seen(type_name) for name, type_name in reader.topics.items()}
    begin, end = 2**63 - 1, 0
    for record in reader.records():
        row = seen[record.topic]
        stamp = stamp_ns(record)
        row.stamps.append(stamp)
        row.span.add(record.sequence, stamp)
        begin, end = min(begin, record.log_time_ns), max(end, record.log_time_ns)
    return EpisodeAudit(
        folder=reader.folder,
        duration_s=max(end - begin, 0) / 1e9,
        topics={name: _summary(row) for name, row in sorted(seen.items())},
        label=reader.label(),
        damage=tuple(reader.damage),
    )


def _summary(row: _Seen) -> TopicAudit:
    gaps_ns = np.diff(np.array(row.stamps, dtype=np.int64))
    span_s = float(gaps_ns.sum()) / 1e9
    numbered = row.span.last_sequence > 0
    frames = row.type_name.endswith("Image")
    return TopicAudit(
        type_name=row.type_name,
        count=row.span.count,
        rate_hz=gaps_ns.size / span_s if span_s > 0 else 0.0,
        gap_max_s=float(gaps_ns.max(initial=0)) / 1e9,
        monotonic=bool(np.all(gaps_ns >= 0)),
        lost=row.span.lost if numbered or not frames else _missing(gaps_ns),
    )


def _missing(gaps_ns: np.ndarray) -> int:
    if gaps_ns.size < 2:
        return 0
    period = float(np.median(gaps_ns))
    wide = gaps_ns[gaps_ns > IRREGULAR * period]
    return int(np.sum(np.round(wide / period) - 1)) if period > 0 else 0
