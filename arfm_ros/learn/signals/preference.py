"""Which of two episodes from like starts went better: the share of comparisons that are won."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.source import F32, F64, Told, episodes_of, register, seconds


@register
@dataclass(frozen=True, slots=True)
class Preference:
    """Pairs of episodes of the same task whose starts are near each other.

    A success beats a failure; of two successes the one that is faster by `margin`. What it is
    worth is the share of its comparisons that an episode wins, a draw half.
    """

    region: float = 0.25  # of the spread of the starts, each value for itself
    margin: float = 0.1
    name: ClassVar[str] = "preference"
    needs_policy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.region > 0 or not 0 <= self.margin < 1:
            raise ConfigError(f"region {self.region}, margin {self.margin}: need > 0 and 0..1")

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN in an episode without a comparison."""
        count = len(frames.tasks)
        won, met = np.zeros(count), np.zeros(count)
        for a, b, better in self.pairs(frames):
            won[[a, b]] += (better, 1.0 - better)
            met[[a, b]] += 1
        share = np.where(met > 0, won / np.maximum(met, 1), np.nan)
        alone = int((met == 0).sum())
        notes = (f"{alone} of {count} episodes have nothing to be compared with",) * bool(alone)
        return Told(share[frames.episode], notes=notes)

    def pairs(self, frames: Frames) -> Iterator[tuple[int, int, float]]:
        """Yield (episode, episode, 1 where the first is better, 0 the second, 0.5 neither)."""
        rows = episodes_of(frames)
        lasted, time_s = np.zeros(len(rows)), seconds(frames)
        for e, own in enumerate(rows):
            lasted[e] = time_s[own[-1]] if len(own) else np.nan
        for task in sorted(set(frames.tasks)):
            own = [e for e, name in enumerate(frames.tasks) if name == task and len(rows[e])]
            known = [e for e in own if frames.success[e] >= 0]
            starts = self._starts(frames, rows, known)
            for i, j in combinations(range(len(known)), 2):
                if np.abs(starts[i] - starts[j]).max(initial=0.0) <= self.region:
                    a, b = known[i], known[j]
                    yield a, b, self._better(frames, lasted, a, b)

    def _starts(self, frames: Frames, rows: list, known: list[int]) -> F64:
        """Return the first states [E, S] of episodes in units of their spread."""
        if not known:
            return np.zeros((0, frames.state.shape[1]))
        first = np.stack([frames.state[rows[e][0]] for e in known]).astype(np.float64)
        spread = first.std(axis=0)
        return np.where(spread > 1e-6, first / np.maximum(spread, 1e-6), 0.0)

    def _better(self, frames: Frames, lasted: F64, a: int, b: int) -> float:
        if frames.success[a] != frames.success[b]:
            return float(frames.success[a] == 1)
        if frames.success[a] == 0 or abs(lasted[a] - lasted[b]) <= self.margin * max(
            lasted[a], lasted[b]
        ):
            return 0.5
        return float(lasted[a] < lasted[b])
