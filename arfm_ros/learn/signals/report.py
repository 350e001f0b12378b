"""What a signal can tell: good from poor, one phase of an episode from another, near from far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.source import F64, Told, episodes_of, seconds, seconds_left

PHASES = 4
EXPERT = "expert"  # who made the demonstrations of `arfm demos`


@dataclass(frozen=True, slots=True)
class Tells:
    """One signal over N observations; None where there is nothing to measure it by."""

    name: str
    count: int
    known: float  # share of the observations with a value
    auc_success: float | None  # chance that one of a success is above one of a failure
    auc_truth: float | None  # the same of observations known to be good and poor
    spread_within: float | None  # standard deviation within episodes, over that of all
    phases: tuple[float | None, ...]  # mean in each quarter of an episode, in deviations
    time_left: float | None  # rank correlation with the time left, within successes
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def tells(name: str, told: Told, frames: Frames, truth: NDArray[np.int8] | None = None) -> Tells:
    """Measure a signal; `truth` [N] is 1 for good, -1 for poor, 0 for what nobody knows."""
    values = told.values
    known = np.isfinite(values)
    success = frames.success[frames.episode]
    good, poor = (values[known & (success == one)] for one in (1, 0))
    by_truth = None
    if truth is not None:
        by_truth = auc(values[known & (truth > 0)], values[known & (truth < 0)])
    return Tells(
        name=name,
        count=len(values),
        known=float(known.mean()) if len(values) else 0.0,
        auc_success=auc(good, poor),
        auc_truth=by_truth,
        spread_within=_within(values, frames),
        phases=_phases(values, frames),
        time_left=_time_left(values, frames),
        notes=told.notes,
    )


def recorded_truth(frames: Frames) -> NDArray[np.int8] | None:
    """Return 1 and -1 [N] for what made-up demonstrations say of their own commands.

    Only `arfm demos` knows that, and only this report may look at it. None where none says so.
    """
    truth, time_ns, any_poor = np.zeros(len(frames), np.int8), seconds(frames) * 1e9, False
    for e, rows in enumerate(episodes_of(frames)):
        if e >= len(frames.folders):
            return None
        told = EpisodeReader(Path(frames.folders[e])).label()
        if told.get("source") != EXPERT:
            continue
        truth[rows] = 1
        stretches = told.get("poor_ns")
        for begin, end in stretches if isinstance(stretches, list) else ():
            inside = (time_ns[rows] >= begin) & (time_ns[rows] < end)
            truth[rows[inside]] = -1
            any_poor = any_poor or bool(inside.any())
    return truth if any_poor else None


def auc(good: F64, poor: F64) -> float | None:
    """Return P(good > poor) + P(equal) / 2 by ranks (Mann-Whitney); None without either."""
    if not len(good) or not len(poor):
        return None
    ranks = ranked(np.concatenate([good, poor]))[: len(good)]
    return float((ranks.sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(poor)))


def ranked(values: F64) -> F64:
    """Return the ranks [n] from 1, those of equal values their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def rank_correlation(a: F64, b: F64) -> float | None:
    """Return Spearman's correlation; None where one of them does not vary."""
    x, y = ranked(a), ranked(b)
    if len(x) < 3 or not x.std() or not y.std():
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _within(values: F64, frames: Frames) -> float | None:
    whole = float(np.nanstd(values)) if np.isfinite(values).any() else 0.0
    parts = [values[rows] for rows in episodes_of(frames)]
    parts = [one[np.isfinite(one)] for one in parts]
    parts = [one for one in parts if len(one) > 1]
    if not whole or not parts:
        return None
    variance = sum(one.var() * len(one) for one in parts) / sum(map(len, parts))
    return float(np.sqrt(variance) / whole)


def _phases(values: F64, frames: Frames) -> tuple[float | None, ...]:
    time_s, left = seconds(frames), seconds_left(frames)
    share = time_s / np.maximum(time_s + left, 1e-9)
    phase = np.minimum((share * PHASES).astype(int), PHASES - 1)
    known = np.isfinite(values)
    spread = float(values[known].std()) if known.any() else 0.0
    if not spread:
        return (None,) * PHASES
    centred = (values - values[known].mean()) / spread
    rows = [known & (phase == k) for k in range(PHASES)]
    return tuple(float(centred[row].mean()) if row.any() else None for row in rows)


def _time_left(values: F64, frames: Frames) -> float | None:
    chosen = np.isfinite(values) & (frames.success[frames.episode] == 1)
    return rank_correlation(values[chosen], seconds_left(frames)[chosen]) if chosen.any() else None


def save(path: Any, frames: Frames, told: Mapping[str, Told]) -> None:
    """Write the side-car: every signal and what it was made of, by name, beside the key.

    Arrays are [N], in the order of the frames: `episode` numbers the `folders`, `stamp_ns` is the
    observation's. The episodes themselves stay as they are.
    """
    arrays: dict[str, Any] = {
        "key": np.array(frames.key),
        "folders": np.array(frames.folders),
        "episode": frames.episode,
        "stamp_ns": frames.stamp_ns,
    }
    for name, one in told.items():
        arrays[name] = one.values
        arrays |= {f"{name}.{part}": values for part, values in one.parts.items()}
    np.savez_compressed(path, **arrays)
