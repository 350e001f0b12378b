"""What a policy and a human wanted, whoever was in charge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arfm_ros.datasets.resample import F32, I64
from arfm_ros.episodes.read.axes import read_axes
from arfm_ros.episodes.read.topics import Source
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.wire.joints import JOINT_TRAJECTORY, read_trajectory

CHUNKS, TELEOP = "policy/action_chunk", Source("teleop/target_joint")
HEARD_NS = 500_000_000  # an older word of a human's hand is no wish any more


def policy_wishes(reader: EpisodeReader, names: Sequence[str], at_ns: I64) -> F32:
    """Give what the newest chunk that had come wanted [T, A] at instants [T]; NaN: nothing."""
    wanted = np.full((len(at_ns), len(names)), np.nan, np.float32)
    topic = reader.find(CHUNKS)
    if topic is None or reader.topics[topic] != JOINT_TRAJECTORY:
        return wanted
    came = [(record.publish_time_ns, record) for record in reader.records({topic})]
    came.sort(key=lambda pair: pair[0])
    for n, (from_ns, record) in enumerate(came):
        until_ns = came[n + 1][0] if n + 1 < len(came) else np.iinfo(np.int64).max
        plan, begin_ns = read_trajectory(record.cdr), stamp_ns(record)
        if not len(plan.due_ns):
            continue
        due_ns = at_ns - begin_ns
        mine = (at_ns >= from_ns) & (at_ns < until_ns) & (due_ns <= plan.due_ns[-1])
        for column, name in enumerate(names):
            if name in plan.names:
                path = plan.positions[:, plan.names.index(name)]
                wanted[mine, column] = np.interp(due_ns[mine], plan.due_ns, path)
    return wanted


def human_wishes(reader: EpisodeReader, names: Sequence[str], at_ns: I64) -> F32:
    """Give where a human's hand wanted the axes [T, A] at instants [T]; NaN: it said nothing."""
    said = read_axes(reader, [TELEOP])
    columns = [
        _heard(said[name].stamp_ns, said[name].value, at_ns)
        if name in said
        else np.full(len(at_ns), np.nan)
        for name in names
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _heard(stamps: I64, values: NDArray[np.float64], at_ns: I64) -> NDArray[np.float64]:
    last = np.searchsorted(stamps, at_ns, side="right") - 1
    fresh = (last >= 0) & (at_ns - stamps[last.clip(min=0)] <= HEARD_NS)
    return np.where(fresh, values[last.clip(min=0)], np.nan)
