"""How rough chunks join: accelerations of the commanded stream against those inside chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from arfm_ros.core.safety.limits import F64

QUANTILE = 0.999
WIDTH = float(np.log(1.02))  # of a bin, on a logarithmic scale
SMALLEST = 1e-6

Bins = tuple[tuple[int, int], ...]  # (bin, count), ascending


@dataclass(frozen=True, slots=True)
class Spread:
    """How often each size of a number occurred, to 2 %: spreads of episodes add up exactly."""

    bins: Bins = ()

    @staticmethod
    def of(values: F64) -> Spread:
        """Count the sizes of `values` of any shape."""
        sizes = np.maximum(np.abs(values).ravel(), SMALLEST)
        found, counts = np.unique(np.floor(np.log(sizes) / WIDTH), return_counts=True)
        return Spread(tuple((int(b), int(n)) for b, n in zip(found, counts)))

    def __add__(self, other: Spread) -> Spread:
        """Return the spread of both."""
        total: Counter[int] = Counter()
        for b, n in chain(self.bins, other.bins):
            total[b] += n
        return Spread(tuple(sorted(total.items())))

    def quantile(self, q: float) -> float | None:
        """Return the size that a share `q` does not exceed, within 1 %; None of nothing."""
        if not self.bins:
            return None
        places, counts = zip(*self.bins)
        reached = np.cumsum(counts)
        rank = int(np.searchsorted(reached, q * reached[-1]))
        return float(np.exp((places[rank] + 0.5) * WIDTH))


@dataclass(frozen=True, slots=True)
class Seams:
    """Joint accelerations, rad/s^2, of all joints and ticks together."""

    stream: Spread = field(default_factory=Spread)  # everything commanded while chunks play
    handover: Spread = field(default_factory=Spread)  # of it, commands of two chunks in a row
    inside: Spread = field(default_factory=Spread)  # the chunks' own paths while in force

    def __add__(self, other: Seams) -> Seams:
        """Return the seams of both."""
        return Seams(
            self.stream + other.stream, self.handover + other.handover, self.inside + other.inside
        )

    @property
    def ratio(self) -> float | None:
        """99.9 % acceleration of the stream over that inside chunks: 1 where no seam shows."""
        stream, inside = self.stream.quantile(QUANTILE), self.inside.quantile(QUANTILE)
        return None if stream is None or inside is None else stream / inside

    def as_json(self) -> dict[str, float | None]:
        """Return the 99.9 % accelerations and the ratio; None where nothing was commanded."""
        return {
            "stream_rad_s2": self.stream.quantile(QUANTILE),
            "handover_rad_s2": self.handover.quantile(QUANTILE),
            "inside_rad_s2": self.inside.quantile(QUANTILE),
            "ratio": self.ratio,
        }

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Seams:
        """Make seams of what `dataclasses.asdict` made of them."""
        return Seams(**{
            name: Spread(tuple((int(b), int(n)) for b, n in spread["bins"]))
            for name, spread in raw.items()
        })


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """What was commanded at a tick, and what the chunk in force alone would have been."""

    chunk: int  # anything that tells chunks apart
    command: F64  # [J] rad
    path: F64  # [J] rad


def seams_of(ticks: Sequence[Tick | None], period_s: float) -> Seams:
    """Measure a stream of equally spaced ticks; None where no chunk was played.

    Accelerations are second differences of three commands in a row.
    """
    runs: dict[str, list[F64]] = {"stream": [], "handover": [], "inside": []}
    for before, now, after in zip(ticks, ticks[1:], ticks[2:]):
        if before is None or now is None or after is None:
            continue
        commanded = before.command - 2 * now.command + after.command
        runs["stream"].append(commanded)
        if before.chunk == after.chunk:
            runs["inside"].append(before.path - 2 * now.path + after.path)
        else:
            runs["handover"].append(commanded)
    spreads = {name: _spread(rows, period_s) for name, rows in runs.items()}
    return Seams(**spreads)


def _spread(differences: Sequence[F64], period_s: float) -> Spread:
    return Spread.of(np.array(differences) / period_s**2) if differences else Spread()
