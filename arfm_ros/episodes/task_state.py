"""What the task itself said while an episode was recorded: progress and success over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.cdr import Cursor
from arfm_ros.episodes.reader import EpisodeReader

RELATIVE = "task/state"


@dataclass(frozen=True, slots=True, eq=False)
class TaskState:
    """Samples [N] in the order of their stamps; NaN where a message had no such number."""

    stamp_ns: NDArray[np.int64]
    progress: NDArray[np.float64]  # 0..1
    success: NDArray[np.bool_]


def read_task_state(reader: EpisodeReader) -> TaskState | None:
    """Read `task/state` (DiagnosticArray); None when it was not recorded or is empty."""
    topic = reader.find(RELATIVE)
    rows = [_row(record.cdr) for record in reader.records({topic})] if topic else []
    if not rows:
        return None
    rows.sort(key=lambda row: row[0])
    stamps, progress, success = zip(*rows)
    return TaskState(
        np.array(stamps, np.int64), np.array(progress, np.float64), np.array(success, np.bool_)
    )


def _row(cdr: memoryview) -> tuple[int, float, bool]:
    cursor = Cursor(cdr)
    stamp, values = cursor.header(), {}
    for _ in range(cursor.u32()):
        cursor.octet()
        for _ in ("name", "message", "hardware_id"):
            cursor.text()
        for _ in range(cursor.u32()):
            key = cursor.text()
            values[key] = cursor.text()
    return stamp, _number(values.get("progress", "")), values.get("success") == "true"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
