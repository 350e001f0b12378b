"""Another policy on the observations of an episode: what it would have wanted there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ArfmError, EpisodeError
from arfm_ros.core.values.data import ActionChunk, Policy
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.episodes.read.axes import AxisSeries, read_axes
from arfm_ros.episodes.read.topics import OWN
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.replay.recompute import compute
from arfm_ros.replay.recorded import Sights, read_made

F64 = NDArray[np.float64]
COLOURS = ("#1f5fa8", "#d1495b")  # what was measured, what the other wants


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """Chunks of another policy and how far they are from what the robot then did."""

    chunks: tuple[ActionChunk, ...]
    apart: dict[str, float]  # axis -> mean distance over the chunks, in its unit
    skipped: int  # observations that were not recorded


def ask(reader: EpisodeReader, policy: Policy, spec: PolicySpec) -> Other:
    """Let a policy see what was seen at every chunk, with the same noise; nothing binds it.

    Raises `EpisodeError` where the episode has none of its cameras or joints.
    """
    sights, chunks, skipped = Sights(reader, spec), [], 0
    for one in read_made(reader):
        try:
            seen = sights.observation(one.recall)
        except ArfmError:
            skipped += 1
            continue
        chunks.append(compute(policy, spec, seen, one, bound=False))
    if not chunks:
        raise EpisodeError(f"{reader.folder}: none of {skipped} observations was recorded")
    done = read_axes(reader, OWN.states)
    return Other(tuple(chunks), _apart(chunks, done), skipped)


def _apart(chunks: list[ActionChunk], done: dict[str, AxisSeries]) -> dict[str, float]:
    found: dict[str, list[F64]] = {}
    for chunk in chunks:
        due = chunk.stamp_ns + (np.arange(chunk.horizon) + 1) * chunk.dt_ns
        for n, name in enumerate(chunk.names):
            if name in done:
                found.setdefault(name, []).append(np.abs(chunk.actions[:, n] - done[name].at(due)))
    return {name: float(np.mean(parts)) for name, parts in found.items()}


def plot(reader: EpisodeReader, other: Other, title: str, out: Path) -> Path:
    """Draw every axis: what the robot did, and the chunks fanned out over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    done, names = read_axes(reader, OWN.states), other.chunks[0].names
    begin_ns = other.chunks[0].stamp_ns
    figure, axes = plt.subplots(len(names), 1, figsize=(12, 1.8 * len(names)), sharex=True)
    for n, (name, axis) in enumerate(zip(names, np.atleast_1d(axes))):
        if name in done:
            time_s = (done[name].stamp_ns - begin_ns) / 1e9
            axis.plot(time_s, done[name].value, color=COLOURS[0], lw=1.5)
        for chunk in other.chunks:
            due = chunk.stamp_ns - begin_ns + (np.arange(chunk.horizon) + 1) * chunk.dt_ns
            axis.plot(due / 1e9, chunk.actions[:, n], color=COLOURS[1], lw=0.6, alpha=0.7)
        axis.set_ylabel(name, fontsize=8)
    figure.suptitle(title)
    figure.savefig(out, dpi=100, bbox_inches="tight")
    plt.close(figure)
    return out
