"""How long each stage takes, and a tick's deadlines; both without a clock of their own."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of the durations of one stage: p50 and p99 of the last ones, the maximum of all."""

    p50_ns: float
    p99_ns: float
    max_ns: int
    count: int


class StageLatency:
    """The last `window` durations of each named stage; threads may share it."""

    def __init__(self, window: int = 1024) -> None:
        self._window = window
        self._rings: dict[str, NDArray[np.int64]] = {}
        self._counts: dict[str, int] = {}
        self._max: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, stage: str, duration_ns: int) -> None:
        """Note one duration."""
        with self._lock:
            if stage not in self._rings:
                self._rings[stage] = np.zeros(self._window, dtype=np.int64)
                self._counts[stage], self._max[stage] = 0, duration_ns
            self._rings[stage][self._counts[stage] % self._window] = duration_ns
            self._counts[stage] += 1
            self._max[stage] = max(self._max[stage], duration_ns)

    def quantiles(self) -> dict[str, Quantiles]:
        """Summarise every stage seen so far."""
        with self._lock:
            seen = {
                stage: (ring[: self._counts[stage]].copy(), self._max[stage], self._counts[stage])
                for stage, ring in self._rings.items()
            }
        summary = {}
        for stage, (durations, largest, count) in seen.items():
            p50, p99 = np.percentile(durations, (50, 99))
            summary[stage] = Quantiles(float(p50), float(p99), largest, count)
        return summary

    def values_ms(self) -> dict[str, float]:
        """Return `<stage>.p50_ms`, `.p99_ms` and `.max_ms` of every stage, for diagnostics."""
        values = {}
        for stage, q in self.quantiles().items():
            for name, ns in (("p50", q.p50_ns), ("p99", q.p99_ns), ("max", q.max_ns)):
                values[f"{stage}.{name}_ms"] = ns / 1e6
        return values


class Deadlines:
    """Absolute deadlines every `period_ns`; what was missed is skipped, never run in a burst."""

    def __init__(self, period_ns: int, now_ns: int) -> None:
        self.period_ns = period_ns
        self.next_ns = now_ns + period_ns
        self.missed = 0

    def late_ns(self, now_ns: int) -> int:
        """Return how late the tick due at `next_ns` begins (at `now_ns`) and set the next one."""
        late = now_ns - self.next_ns
        skipped = max(late, 0) // self.period_ns
        self.missed += skipped
        self.next_ns += (skipped + 1) * self.period_ns
        return late
