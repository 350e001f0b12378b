"""Faults of cameras: pictures that freeze, repeat, jump in time or end too soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.examine.finding import Finding
from arfm_ros.episodes.read.axes import BODY, AxisSeries
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import decode_image

REPEATS = 5  # pictures that are all the same: a camera that froze, or a scene at rest
DUPLICATES = 0.2  # share of pictures that came twice
MOVED_RAD = 0.03  # of a joint meanwhile: a camera at a moving arm shows another picture
JUMP_NS = 1_000_000_000
MISSING_S = 1.0  # of a camera at the begin or the end of an episode
LOOKED_AT = 8  # pictures whose colours are read
I64 = NDArray[np.int64]


@dataclass(slots=True)
class _Camera:
    stamps: list[int] = field(default_factory=list)
    contents: list[int] = field(default_factory=list)  # hashes, without the stamp


def camera_faults(
    reader: EpisodeReader, axes: Mapping[str, AxisSeries], span_ns: tuple[int, int]
) -> list[Finding]:
    """Look at every picture's bytes and stamp; `span_ns` is that of all messages."""
    seen = {name: _Camera() for name, kind in reader.topics.items() if kind.endswith("Image")}
    last = dict.fromkeys(seen, (0, 0))
    for record in reader.records(set(seen)):
        camera = seen[record.topic]
        camera.stamps.append(stamp_ns(record))
        camera.contents.append(hash(bytes(record.cdr[BODY:])))
        first = last[record.topic][0] or record.log_time_ns
        last[record.topic] = (first, record.log_time_ns)
    found = []
    for name, camera in seen.items():
        if camera.stamps:
            found += _repeats(name, camera, axes)
            found += _times(name, camera, last[name], span_ns)
    return found


def _repeats(name: str, camera: _Camera, axes: Mapping[str, AxisSeries]) -> list[Finding]:
    stamps, same = np.array(camera.stamps, np.int64), np.diff(camera.contents) == 0
    share = float(same.mean()) if len(same) else 0.0
    for begin, end in _runs(same):
        moved = _moved(axes, stamps[begin], stamps[end])
        if end - begin >= REPEATS and moved > MOVED_RAD:
            times = end - begin + 1
            what = f"{name}: the same picture {times} times in a row, a joint moved by {moved:.2f}"
            return [Finding(what, "look at the camera's driver; leave it out")]
    twice = int(np.sum(np.diff(stamps) == 0))
    if twice > DUPLICATES * len(stamps):
        text = f"{name}: {twice} of {len(stamps)} pictures have the stamp of the one before"
        return [Finding(text, "record one of the two publishers only")]
    if share > DUPLICATES and not any(end - begin >= REPEATS for begin, end in _runs(same)):
        text = f"{name}: {share:.0%} of the pictures are that of before again"
        return [Finding(text, "the driver fills up its rate: set it to what the camera does")]
    return []


def _runs(same: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Give first and last index of every run of equal pictures."""
    edges = np.diff(np.concatenate([[False], same, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [(int(b), int(e)) for b, e in zip(begins, ends)]


def _moved(axes: Mapping[str, AxisSeries], begin_ns: int, end_ns: int) -> float:
    ways = [0.0]
    for axis in axes.values():
        at = (axis.stamp_ns >= begin_ns) & (axis.stamp_ns <= end_ns)
        ways.append(float(np.ptp(axis.value[at])) if at.any() else 0.0)
    return max(ways)


def _times(
    name: str, camera: _Camera, heard_ns: tuple[int, int], span_ns: tuple[int, int]
) -> list[Finding]:
    found = []
    jumps = int(np.sum(np.abs(np.diff(camera.stamps)) > JUMP_NS))
    if jumps:
        text = f"{name}: its stamps jump {jumps} times by more than a second"
        found.append(Finding(text, "leave it out"))
    late_s, early_s = (heard_ns[0] - span_ns[0]) / 1e9, (span_ns[1] - heard_ns[1]) / 1e9
    for away_s, where in ((late_s, "first"), (early_s, "last")):
        if away_s > MISSING_S:
            text = f"{name}: no picture in the {where} {away_s:.1f} s of the episode"
            found.append(Finding(text, "cut it there (arfm episodes split), or leave it out"))
    return found


def mean_colours(reader: EpisodeReader) -> dict[str, tuple[float, float, float]]:
    """Give the mean red, green and blue of each camera, 0 to 255, over a few pictures."""
    found = {}
    for name, kind in sorted(reader.topics.items()):
        if not kind.endswith("Image"):
            continue
        records = list(reader.records({name}))
        chosen = np.unique(np.linspace(0, len(records) - 1, LOOKED_AT).round().astype(int))
        if records:
            means = [decode_image(records[n]).mean(axis=(0, 1)) for n in chosen]
            red, green, blue = np.mean(means, axis=0).tolist()
            found[name] = (red, green, blue)
    return found
