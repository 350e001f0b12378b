"""Account for every message: what was published, what arrived, what went into the episode."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Span:
    """Messages of one topic in one stretch of time."""

    count: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    first_ns: int = 0
    last_ns: int = 0
    lost: int = 0

    def add(self, sequence: int, stamp_ns: int) -> None:
        """Count one message; a gap in the publisher's numbers is what got lost on the way.

        A number that does not grow is a publisher that started anew; 0 is one that does not count.
        """
        if not self.count:
            self.first_sequence, self.first_ns = sequence, stamp_ns
        elif sequence > self.last_sequence > 0:
            self.lost += sequence - self.last_sequence - 1
        self.count += 1
        self.last_sequence, self.last_ns = sequence, stamp_ns

    @property
    def published(self) -> int:
        """Messages that were sent between the first and the last one received."""
        return self.count + self.lost


@dataclass(slots=True)
class TopicLedger:
    """One topic since start-up and in the newest episode."""

    total: Span = field(default_factory=Span)
    arrived: Span = field(default_factory=Span)  # for the episode, queued or not
    episode: Span = field(default_factory=Span)  # queued for it
    heard_s: float = 0.0  # when the newest one was received, monotonic
    gap_s: float = 0.0  # the longest pause between two that were published in the episode


class Ledger:
    """All topics; the caller says which messages belong to the episode."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicLedger] = {}

    def begin_episode(self) -> None:
        """Start the count of an episode."""
        for row in self.topics.values():
            row.arrived, row.episode, row.gap_s = Span(), Span(), 0.0

    def receive(
        self, topic: str, sequence: int, stamp_ns: int, now_s: float, wanted: bool, taped: bool
    ) -> None:
        """Count a message that arrived; `wanted` by the episode, and `taped` into its queue."""
        row = self.topics.setdefault(topic, TopicLedger())
        row.heard_s = now_s
        row.total.add(sequence, stamp_ns)
        if wanted:
            if row.arrived.count:
                row.gap_s = max(row.gap_s, (stamp_ns - row.arrived.last_ns) / 1e9)
            row.arrived.add(sequence, stamp_ns)
        if taped:
            row.episode.add(sequence, stamp_ns)
