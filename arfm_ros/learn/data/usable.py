"""Which observations of an episode are learned from, by who commanded what followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.windows import EpisodeArrays

if TYPE_CHECKING:
    from arfm_ros.learn.data.frames import FramesConfig

Bools = NDArray[np.bool_]


def usable_steps(arrays: EpisodeArrays, config: FramesConfig) -> NDArray[np.int64]:
    """Select the observations to learn from: commanded, finite, by the wanted authority."""
    if config.success_only and arrays.success is not True:
        return np.zeros(0, np.int64)
    if not len(arrays.commands):
        return np.zeros(0, np.int64)
    first_due = arrays.stamp_ns + config.dt_ns
    keep = np.isfinite(arrays.state).all(axis=1) & (first_due >= arrays.command_stamp_ns[0])
    if config.authority:
        wanted = np.isin(np.asarray(arrays.authority), config.authority)
        keep &= throughout(wanted, arrays, config)
    return np.flatnonzero(keep)


def held_back(arrays: EpisodeArrays, config: FramesConfig) -> list[str]:
    """Say who commanded an episode of which no chunk is by the wanted ones; they may all hold."""
    if not config.authority or (config.success_only and arrays.success is not True):
        return []
    who, count = np.unique(arrays.authority, return_counts=True)
    shares = ", ".join(f"{n or 'nobody'} {c / count.sum():.0%}" for n, c in zip(who, count))
    wanted = ", ".join(config.authority)
    return [f"{arrays.folder.name}: no whole chunk commanded by {wanted}; it was {shares}"]


def throughout(ticks: Bools, arrays: EpisodeArrays, config: FramesConfig) -> Bools:
    """Tell for each observation [T] whether all commands of its chunk are among `ticks` [M]."""
    other = ~ticks
    before = np.concatenate([[0], np.cumsum(other)])
    span = np.array([config.dt_ns // 2, config.horizon * config.dt_ns])
    first, last = np.searchsorted(arrays.command_stamp_ns, arrays.stamp_ns + span[:, None])
    held = other[first.clip(max=len(other) - 1)]  # beyond the end the last command holds
    return np.asarray(~((before[last] > before[first]) | held))
