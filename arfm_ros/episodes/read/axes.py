"""Values of single axes over time, whatever messages carry them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.read.said import said_robot, said_sources, topics_in
from arfm_ros.episodes.read.topics import OWN, Call, Source, Topics
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.scan import Record
from arfm_ros.wire.errors import WireError
from arfm_ros.wire.joints import (
    JOINT_TRAJECTORY,
    JOINT_TYPES,
    NAMELESS,
    joint_state_layout,
    read_trajectory,
    read_values,
)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
BODY = 12  # bytes of encapsulation and stamp before a header's frame_id


@dataclass(frozen=True, slots=True, eq=False)
class AxisSeries:
    """Values [N] of an axis at their stamps [N], in the order of these."""

    stamp_ns: I64
    value: F64
    linear: bool = False  # a straight line in between, as a trajectory is followed; else held

    def newest(self, at_ns: I64) -> I64:
        """Index of the newest sample at or before each instant; -1 where there is none yet."""
        found: I64 = np.searchsorted(self.stamp_ns, at_ns, side="right") - 1
        return found

    def at(self, at_ns: I64) -> F64:
        """Values at instants; before the first sample its value."""
        if not self.linear:
            held: F64 = self.value[self.newest(at_ns).clip(min=0)]
            return held
        begin = self.stamp_ns[0]  # differences are small: exact as floats
        return np.asarray(np.interp(at_ns - begin, self.stamp_ns - begin, self.value))


@dataclass(slots=True)
class _Part:
    """Samples of joints that always come together."""

    stamps: list[int] = field(default_factory=list)
    rows: list[F64] = field(default_factory=list)


def read_axes(
    reader: EpisodeReader, sources: Iterable[Source], received: bool = False
) -> dict[str, AxisSeries]:
    """Read the axes that topics tell of, partial messages merged by name; absent topics: nothing.

    In place of the usual topics of states (`OWN.states`) those count that the episode itself tells
    of, with what it says that messages call the axes. Of two topics that have an axis the first
    counts. Raises `EpisodeError` for messages that are none of joints, and for values without
    names where the source does not name them.
    """
    found: dict[str, AxisSeries] = {}
    for source in said_sources(reader, sources):
        topic = reader.find(source.topic)
        if topic is None:
            continue
        kind = reader.topics[topic]
        if kind not in JOINT_TYPES:
            raise EpisodeError(f"{topic} is {kind}, joints need one of {', '.join(JOINT_TYPES)}")
        records = [(_time(r, received), r) for r in reader.records({topic})]
        records.sort(key=lambda timed: timed[0])
        if kind == JOINT_TRAJECTORY:
            parts = _trajectories(records)
        elif kind in NAMELESS:
            parts = _arrays(records, source)
        else:
            parts = _states(records)
        for name, series in _axes(parts, source, kind == JOINT_TRAJECTORY).items():
            found.setdefault(name, series)
    return found


def _time(record: Record, received: bool) -> int:
    return record.log_time_ns if received else stamp_ns(record)


Timed = Sequence[tuple[int, Record]]
Parts = dict[tuple[str, ...], _Part]


def _states(records: Timed) -> Parts:
    """Read joint states; names that were seen before are compared as bytes, not read again."""
    parts: Parts = {}
    seen: dict[bytes, tuple[_Part, int]] = {}
    for stamp, record in records:
        cdr = record.cdr
        known = next((head for head in seen if cdr[BODY : BODY + len(head)] == head), None)
        if known is None:
            names, offset, positions = joint_state_layout(cdr)
            if not len(positions):
                continue
            known = bytes(cdr[BODY:offset])
            seen[known] = (parts.setdefault(names, _Part()), 8 * len(names))
        part, width = seen[known]
        values = cdr[BODY + len(known) : BODY + len(known) + width]
        if len(values) != width:
            raise WireError(f"message of {len(cdr)} bytes is cut short")
        part.stamps.append(stamp)
        part.rows.append(np.frombuffer(values, "<f8" if cdr[1] == 1 else ">f8"))
    return parts


def _arrays(records: Timed, source: Source) -> Parts:
    if not source.joints:
        raise EpisodeError(f"{source.topic} has values without names: name its joints in order")
    part = _Part()
    for stamp, record in records:
        values = read_values(record.cdr, record.type_name)
        if len(values) != len(source.joints):
            raise EpisodeError(
                f"{source.topic} has {len(values)} values, its joints are named as "
                f"{len(source.joints)}: {', '.join(source.joints)}"
            )
        part.stamps.append(stamp)
        part.rows.append(values)
    return {source.joints: part} if part.stamps else {}


def _trajectories(records: Timed) -> Parts:
    """Follow trajectories as a controller does: a new one takes over from where it is.

    It begins at its stamp (none: when it came) and is a straight line between its points.
    """
    parts: Parts = {}
    for stamp, record in records:
        planned = read_trajectory(record.cdr)
        if not len(planned.due_ns):
            continue  # an empty one stops the arm: it stays where it was
        part = parts.setdefault(planned.names, _Part())
        if planned.due_ns[0] > 0:
            start = _cut(part, stamp)
            part.stamps.append(stamp)
            part.rows.append(planned.positions[0] if start is None else start)
        else:
            _cut(part, stamp)
        part.stamps += (stamp + planned.due_ns).tolist()
        part.rows += list(planned.positions)
    return parts


def _cut(part: _Part, at_ns: int) -> F64 | None:
    """Drop what was due from an instant on; give where the joints were then; None: unknown."""
    after: tuple[int, F64] | None = None
    while part.stamps and part.stamps[-1] >= at_ns:
        after = part.stamps.pop(), part.rows.pop()
    if not part.stamps:
        return None if after is None else after[1]
    if after is None:
        return part.rows[-1]
    share = (at_ns - part.stamps[-1]) / (after[0] - part.stamps[-1])
    return part.rows[-1] + share * (after[1] - part.rows[-1])


def _axes(parts: Parts, source: Source, linear: bool) -> dict[str, AxisSeries]:
    """Turn parts into axes; one that several parts tell of has all their samples."""
    found: dict[str, list[tuple[I64, F64]]] = {}
    for names, part in parts.items():
        stamps, rows = np.array(part.stamps, np.int64), np.array(part.rows, np.float64)
        told = {call.said for call in source.calls}
        plain = [Call(name, name) for name in names if name not in told]
        given = (*source.calls, *(plain if source.rest or not source.calls else ()))
        here: dict[str, Call] = {}
        for call in given:
            if call.said in names:  # an axis called by two of its names is taken by the first
                here.setdefault(call.axis, call)
        for axis, call in here.items():
            value = call.scale * rows[:, names.index(call.said)] + call.offset
            found.setdefault(axis, []).append((stamps, value))
    return {axis: _joined(samples, linear) for axis, samples in found.items()}


def _joined(samples: Sequence[tuple[I64, F64]], linear: bool) -> AxisSeries:
    if len(samples) == 1:
        return AxisSeries(*samples[0], linear)
    stamps = np.concatenate([one for one, _ in samples])
    order = np.argsort(stamps, kind="stable")
    return AxisSeries(stamps[order], np.concatenate([v for _, v in samples])[order], linear)


def pick(series: Mapping[str, AxisSeries], names: Sequence[str]) -> list[AxisSeries]:
    """Return the series of names; `EpisodeError` lists what is missing and what there is."""
    missing = [name for name in names if name not in series]
    if missing:
        raise EpisodeError(
            f"no {', '.join(missing)} in the recording; it has: {', '.join(series) or 'no joints'}"
        )
    return [series[name] for name in names]


def tools_in(reader: EpisodeReader, topics: Topics = OWN) -> tuple[str, ...]:
    """Name the axes of an episode that open and close.

    Of our own recordings these are the robot's axes of unit 1, where it is known; else what is on
    the usual topic of tools. A map of topics names a robot, which says it itself.
    """
    if topics != OWN:
        return ()
    robot = said_robot(reader)
    if robot is not None:
        return tuple(axis.name for axis in robot.axes if axis.unit == "1")
    usual = OWN.states[1].topic
    return tuple(read_axes(reader, [s for s in topics_in(reader).states if s.topic == usual]))
