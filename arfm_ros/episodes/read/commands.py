"""What was commanded, on one time base, from however many topics; or where it went instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.read.axes import AxisSeries, read_axes
from arfm_ros.episodes.read.topics import Topics
from arfm_ros.episodes.reader import EpisodeReader

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


def commanded_axes(
    reader: EpisodeReader, measured: Mapping[str, AxisSeries], topics: Topics
) -> dict[str, AxisSeries]:
    """Read what each axis was told; those of `next_state` go where they were measured next.

    Raises `EpisodeError` when one of these is not measured.
    """
    found = read_axes(reader, topics.commands, topics.received)
    for name in topics.next_state:
        if name not in measured:
            have = ", ".join(measured) or "nothing"
            raise EpisodeError(f"next_state of '{name}', which is not measured; there is: {have}")
        one = measured[name]
        found[name] = AxisSeries(one.stamp_ns, one.value, linear=True)
    return found


def read_commands(
    reader: EpisodeReader,
    names: Sequence[str],
    measured: Mapping[str, AxisSeries],
    topics: Topics,
) -> tuple[F32, I64]:
    """Give the commands [M, A] of axes and their stamps [M]: every instant one of them changes.

    An axis that is told later than others stood until then where it was measured. Raises
    `EpisodeError` naming the axes that nothing commands.
    """
    found = commanded_axes(reader, measured, topics)
    if not found:
        where = ", ".join(source.topic for source in topics.commands) or "any topic"
        raise EpisodeError(f"{reader.folder} has no messages on {where}: nobody commanded")
    missing = [name for name in names if name not in found]
    if missing:
        raise EpisodeError(
            f"no {', '.join(missing)} in the recording's commands; it has: {', '.join(found)}; "
            "name their topic in the topic map (commands), or their group under next_state"
        )
    axes = [found[name] for name in names]
    stamps = _instants(axes)
    columns = [_told(axis, measured.get(name), stamps) for name, axis in zip(names, axes)]
    return np.stack(columns, axis=1).astype(np.float32), stamps


def _instants(axes: Sequence[AxisSeries]) -> I64:
    """Give all stamps of the axes; those of axes that always came together as they are."""
    first = axes[0].stamp_ns
    if all(axis.stamp_ns is first for axis in axes):
        return first
    return np.unique(np.concatenate([axis.stamp_ns for axis in axes]))


def _told(axis: AxisSeries, measured: AxisSeries | None, stamps: I64) -> NDArray[np.float64]:
    if stamps is axis.stamp_ns:
        return axis.value
    told = axis.at(stamps)
    return (
        told
        if measured is None
        else np.where(stamps < axis.stamp_ns[0], measured.at(stamps), told)
    )
