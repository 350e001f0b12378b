"""What the task itself said while an episode was recorded: progress and success over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.wire.cdr import Cdr, Cursor

RELATIVE = "task/state"
POSE = "pose_"


@dataclass(frozen=True, slots=True, eq=False)
class TaskState:
    """Samples [N] in the order of their stamps; NaN where a message had no such number."""

    stamp_ns: NDArray[np.int64]
    progress: NDArray[np.float64]  # 0..1
    success: NDArray[np.bool_]
    # object -> position and quaternion xyzw [N, 7] in the base; of what every message tells of
    poses: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def read_task_state(reader: EpisodeReader) -> TaskState | None:
    """Read `task/state` (DiagnosticArray); None when it was not recorded or is empty."""
    topic = reader.find(RELATIVE)
    rows = [_row(record.cdr) for record in reader.records({topic})] if topic else []
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    stamps, values = zip(*rows)
    return TaskState(
        np.array(stamps, np.int64),
        np.array([_number(v.get("progress", "")) for v in values], np.float64),
        np.array([v.get("success") == "true" for v in values], np.bool_),
        _poses(values),
    )


def _poses(values: Sequence[Mapping[str, str]]) -> dict[str, NDArray[np.float64]]:
    names = [key for key in values[0] if key.startswith(POSE)]
    rows = {name: [_numbers(v.get(name, "")) for v in values] for name in names}
    return {
        name.removeprefix(POSE): np.array(row)
        for name, row in rows.items()
        if all(len(pose) == 7 for pose in row)
    }


def _row(cdr: Cdr) -> tuple[int, dict[str, str]]:
    cursor = Cursor(cdr)
    stamp, values = cursor.header(), {}
    for _ in range(cursor.u32()):
        cursor.octet()
        for _ in ("name", "message", "hardware_id"):
            cursor.text()
        for _ in range(cursor.u32()):
            key = cursor.text()
            values[key] = cursor.text()
    return stamp, values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _numbers(text: str) -> list[float]:
    return [_number(word) for word in text.split()]
