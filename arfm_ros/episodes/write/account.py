"""Account for what is in a file: per topic numbers, rates, gaps and how late messages came."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arfm_ros.episodes.write.ledger import Span
from arfm_ros.wire.cdr import header_stamp_ns
from arfm_ros.wire.definitions import has_header
from arfm_ros.wire.errors import WireError

LAGS = 65_536  # kept per topic; of longer episodes every second, fourth, ... one
NS = 1e9


@dataclass(slots=True)
class TopicAccount:
    """One topic; times in ns on the receiver's clock, lags are received minus header stamp."""

    type_name: str
    span: Span = field(default_factory=Span)
    gap_ns: int = 0
    lags_ns: array[int] = field(default_factory=lambda: array("q"))
    lag_max_ns: int = 0
    every: int = 1

    def add(self, cdr: bytes | memoryview, log_time_ns: int, sequence: int) -> None:
        """Count one message."""
        if self.span.count:
            self.gap_ns = max(self.gap_ns, log_time_ns - self.span.last_ns)
        self.span.add(sequence, log_time_ns)
        if has_header(self.type_name):
            self._lag(cdr, log_time_ns)

    def as_json(self, saved: int) -> dict[str, Any]:
        """Give the numbers of the manifest; rates in Hz, times in s.

        `saved` of the messages are in the file: less than received where the disk failed.
        """
        span = self.span
        seconds = (span.last_ns - span.first_ns) / NS
        row: dict[str, Any] = {
            "type": self.type_name,
            "published": span.published,
            "received": span.count,
            "recorded": saved,
            "dropped": span.published - saved,
            "rate_hz": round((span.count - 1) / seconds, 3) if seconds > 0 else 0.0,
            "gap_max_s": round(self.gap_ns / NS, 6),
        }
        if self.lags_ns:
            p50 = float(np.median(np.frombuffer(self.lags_ns, dtype=np.int64)))
            row["stamp_lag_s"] = {"p50": round(p50 / NS, 6), "max": round(self.lag_max_ns / NS, 6)}
        return row

    def _lag(self, cdr: bytes | memoryview, log_time_ns: int) -> None:
        try:
            stamp_ns = header_stamp_ns(cdr)
        except WireError:
            return  # whoever reads the message says so
        if not stamp_ns:
            return
        lag_ns = log_time_ns - stamp_ns
        self.lag_max_ns = max(self.lag_max_ns, lag_ns) if self.lags_ns else lag_ns
        if self.span.count % self.every:
            return
        self.lags_ns.append(lag_ns)
        if len(self.lags_ns) >= LAGS:
            self.lags_ns, self.every = self.lags_ns[::2], 2 * self.every
