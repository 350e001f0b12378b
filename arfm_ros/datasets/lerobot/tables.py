"""Parquet tables of a LeRobotDataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.datasets.lerobot.layout import COUNTED, STAMP_KEY, Features
from arfm_ros.datasets.libraries import library
from arfm_ros.datasets.rows import Rows


def columns_of(rows: Rows, fps: int, episode: int, begin: int, task: int) -> dict[str, Any]:
    """Give an episode's columns but for pictures; `begin` is the index of its first row."""
    count = len(rows.stamp_ns)
    last = np.arange(count) == count - 1
    found: dict[str, Any] = {
        "observation.state": rows.state,
        "action": rows.sent,
        "action.sent": rows.sent,
        "action.policy": rows.policy,
        "action.human": rows.human,
        "next.reward": (last & (rows.success is True)).astype(np.float32),
        "next.done": last,
        "next.truncated": last & (rows.success is None),
        "next.success": rows.solved,
        "intervention": rows.intervention,
        STAMP_KEY: rows.stamp_ns,
    }
    for name, shot in rows.shots.items():
        found[f"{STAMP_KEY}.{name}"] = shot.stamp_ns[shot.frame]
    numbers = np.arange(count)
    counted = ((numbers / fps).astype(np.float32), numbers, np.full(count, episode))
    return found | dict(zip(COUNTED, (*counted, begin + numbers, np.full(count, task))))


def data_table(columns: Mapping[str, Any], features: Features) -> Any:
    """Make the table of an episode's rows; pictures are bytes in a column of their own."""
    pa = library("pyarrow")
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}
    arrays, names = [], []
    for key, about in features.items():
        if about["dtype"] == "video":
            continue
        names.append(key)
        value = columns[key]
        if about["dtype"] == "image":
            arrays.append(pa.array([{"bytes": one, "path": None} for one in value], picture))
        elif about["shape"] == [1]:
            arrays.append(pa.array(np.asarray(value).reshape(-1), kinds[about["dtype"]]))
        else:
            flat = pa.array(np.ascontiguousarray(value).reshape(-1), kinds[about["dtype"]])
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, about["shape"][0]))
    return pa.Table.from_arrays(arrays, names)


def episode_table(row: Mapping[str, Any]) -> Any:
    """Make the one-row table of `meta/episodes`."""
    return library("pyarrow").Table.from_pylist([dict(row)])


def task_table(tasks: Sequence[str]) -> Any:
    """Make `meta/tasks.parquet`, which pandas reads with the task as index."""
    pa = library("pyarrow")
    numbers, texts = pa.array(range(len(tasks)), pa.int64()), pa.array(tasks, pa.string())
    columns = {"task_index": numbers, "task": texts}
    described = [_pandas("task_index", "int64", "int64"), _pandas("task", "unicode", "object")]
    note = {"index_columns": ["task"], "column_indexes": [], "columns": described}
    note["pandas_version"] = "2.0.0"  # type: ignore[assignment]
    return pa.table(columns).replace_schema_metadata({"pandas": json.dumps(note)})


def read_tasks(path: Path) -> list[str]:
    """Read the tasks in the order of their numbers, whatever their column is called."""
    table = library("pyarrow.parquet").read_table(path)
    text = next(name for name in table.column_names if name != "task_index")
    rows = sorted(zip(table["task_index"].to_pylist(), table[text].to_pylist()))
    return [task for _, task in rows]


def _pandas(name: str, pandas_type: str, numpy_type: str) -> dict[str, Any]:
    kind = {"pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": None}
    return {"name": name, "field_name": name, **kind}
