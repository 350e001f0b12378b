"""Between ROS messages and the core's values, both ways; images are in `cameras`."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import ActionChunk, ChunkInfo
from arfm_ros.core.values.recall import KEY, Recall
from arfm_ros.wire.cdr import NS
from arfm_ros.wire.joints import check_counts

CHUNK_STATUS = "policy/chunk"  # name of the status that carries a ChunkInfo
STAGE = "latency_ms."  # prefix of the keys that carry stage latencies


def time_to_ns(stamp: Time | Duration) -> int:
    """Turn a message's time or duration into ns."""
    return stamp.sec * NS + stamp.nanosec


def ns_to_time(ns: int) -> Time:
    """Invert `time_to_ns` for times."""
    return Time(sec=ns // NS, nanosec=ns % NS)


def ns_to_duration(ns: int) -> Duration:
    """Invert `time_to_ns` for durations."""
    return Duration(sec=ns // NS, nanosec=ns % NS)


def chunk_to_trajectory(chunk: ActionChunk) -> JointTrajectory:
    """Write a chunk as positions; stamp = observation, frame_id = source, point k at (k+1) dt."""
    rows = chunk.actions.astype(np.float64)
    points = [
        JointTrajectoryPoint(
            positions=array("d", rows[k].tobytes()),
            time_from_start=ns_to_duration((k + 1) * chunk.dt_ns),
        )
        for k in range(chunk.horizon)
    ]
    header = Header(stamp=ns_to_time(chunk.stamp_ns), frame_id=chunk.source)
    return JointTrajectory(header=header, joint_names=list(chunk.names), points=points)


def trajectory_to_chunk(message: JointTrajectory, info: ChunkInfo | None = None) -> ActionChunk:
    """Invert `chunk_to_trajectory`, exactly.

    Raises `SpecError` when there are no points, when they are not evenly spaced from the stamp on,
    or when their number of positions differs from the names. Values are not judged here.
    """
    names, points = tuple(message.joint_names), message.points
    if not points:
        raise SpecError("chunk has no points, needs at least one")
    sizes = {len(point.positions) for point in points}
    if sizes != {len(names)}:
        raise SpecError(f"chunk has points of {sorted(sizes)} positions, needs {len(names)}")
    due = [time_to_ns(point.time_from_start) for point in points]
    dt_ns = due[0]
    if due != [(k + 1) * dt_ns for k in range(len(due))]:
        raise SpecError(
            f"chunk points are due {_short(due)} ns after the stamp, need multiples of the first"
        )
    return ActionChunk(
        actions=np.array([point.positions for point in points], dtype=np.float32),
        stamp_ns=time_to_ns(message.header.stamp),
        dt_ns=dt_ns,
        names=names,
        source=message.header.frame_id,
        info=info if info is not None else ChunkInfo(),
    )


def info_to_diagnostics(
    info: ChunkInfo,
    stamp_ns: int,
    stages_ms: Mapping[str, float] | None = None,
    recall: Recall | None = None,
) -> DiagnosticArray:
    """Write a `ChunkInfo`, its stage latencies and what it was made of as key values."""
    pairs = [
        *((f.name, str(getattr(info, f.name))) for f in dataclasses.fields(info)),
        *((STAGE + name, f"{ms:.3f}") for name, ms in (stages_ms or {}).items()),
        *([] if recall is None else [(KEY, recall.as_text())]),
    ]
    status = DiagnosticStatus(
        name=CHUNK_STATUS, values=[KeyValue(key=key, value=value) for key, value in pairs]
    )
    return DiagnosticArray(header=Header(stamp=ns_to_time(stamp_ns)), status=[status])


def diagnostics_to_info(message: DiagnosticArray) -> tuple[ChunkInfo, dict[str, float]]:
    """Invert `info_to_diagnostics`: the info and the stage latencies in ms.

    Raises `SpecError` when the message holds no chunk or a value that cannot be read.
    """
    status = next((s for s in message.status if s.name == CHUNK_STATUS), None)
    if status is None:
        names = ", ".join(s.name for s in message.status) or "nothing"
        raise SpecError(f"chunk info has no status '{CHUNK_STATUS}', it has {names}")
    pairs = {pair.key: pair.value for pair in status.values}
    try:
        pairs.setdefault("context_age_ns", "0")  # not told by an older version
        known = {f.name: _parse(pairs[f.name], f.default) for f in dataclasses.fields(ChunkInfo)}
        stages = {k.removeprefix(STAGE): float(v) for k, v in pairs.items() if k.startswith(STAGE)}
    except (KeyError, ValueError) as error:
        raise SpecError(f"chunk info is incomplete or malformed: {error}") from error
    return ChunkInfo(**known), stages  # type: ignore[arg-type]


def joint_map(messages: Sequence[JointState]) -> dict[str, float]:
    """Return the positions of one or several joint states by name; of two the first counts.

    Raises `SpecError` for a message with another number of positions than of names, unless it
    has none: it tells of velocities or efforts alone.
    """
    found: dict[str, float] = {}
    for message in reversed(messages):
        check_counts(message.name, message.position)
        found.update(zip(message.name, message.position))
    return found


def _parse(text: str, default: object) -> object:
    if isinstance(default, bool):
        return {"True": True, "False": False}[text]
    return int(text) if isinstance(default, int) else text


def _short(values: Sequence[int]) -> str:
    shown = ", ".join(str(v) for v in values[:4])
    return shown + (", ..." if len(values) > 4 else "")
