"""Statistics as LeRobot keeps them: of an episode, and of many put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.series import U8

F64 = NDArray[np.float64]
Stats = dict[str, F64]
QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
SAMPLES, SIDE = 100, 150  # pictures of an episode that count, and their pixels a side


def stats_of(values: NDArray[Any]) -> Stats:
    """Count the columns of [T, D]; rows that are NaN do not count, none at all is zeros."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    known = table[np.isfinite(table).all(axis=1)]
    rows = known if len(known) else np.zeros((1, table.shape[1]))
    found = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([len(known)], np.float64),
    }
    levels = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return found | dict(zip(QUANTILES, levels))


class PictureStats:
    """Count some of an episode's pictures, by colour, 0..1, shape [3, 1, 1]."""

    def __init__(self, frames: int) -> None:
        self._every, self._seen = max(1, frames // SAMPLES), 0
        self._parts: list[U8] = []

    def add(self, rgb: U8) -> None:
        """Take the next picture [H, W, 3]."""
        if self._seen % self._every == 0:
            rows, columns = (max(1, side // SIDE) for side in rgb.shape[:2])
            self._parts.append(rgb[::rows, ::columns].reshape(-1, 3).copy())
        self._seen += 1

    def stats(self) -> Stats:
        """Give what LeRobot keeps of them."""
        found = stats_of(np.concatenate(self._parts) / 255.0)
        shaped = {k: v.reshape(3, 1, 1) for k, v in found.items() if k != "count"}
        return shaped | {"count": np.array([len(self._parts)], np.float64)}


def together(parts: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Put the statistics of episodes together as LeRobot does: quantiles are weighted means."""
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: _together([part[key] for part in parts if key in part]) for key in keys}


def _together(parts: Sequence[Stats]) -> Stats:
    known = [part for part in parts if part["count"][0]] or parts[:1]
    counts = np.array([max(part["count"][0], 1.0) for part in known])
    shape = (-1,) + (1,) * known[0]["mean"].ndim
    share = (counts / counts.sum()).reshape(shape)
    stacked = {key: np.stack([part[key] for part in known]) for key in known[0] if key != "count"}
    mean = (stacked["mean"] * share).sum(axis=0)
    spread = stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2
    found = {
        "min": stacked["min"].min(axis=0),
        "max": stacked["max"].max(axis=0),
        "mean": mean,
        "std": np.sqrt((spread * share).sum(axis=0)),
        "count": np.array([sum(part["count"][0] for part in known)]),
    }
    return found | {key: (stacked[key] * share).sum(axis=0) for key in QUANTILES}


def as_json(stats: Mapping[str, Stats]) -> dict[str, dict[str, Any]]:
    """Give statistics as lists; counts are whole numbers."""
    return {
        key: {k: (v.astype(int) if k == "count" else v).tolist() for k, v in one.items()}
        for key, one in stats.items()
    }


def from_columns(row: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Stats]:
    """Read the statistics of a row of `meta/episodes`."""
    names = ("min", "max", "mean", "std", "count", *QUANTILES)
    return {
        key: {name: np.array(row[f"stats/{key}/{name}"], np.float64) for name in names}
        for key in keys
    }
