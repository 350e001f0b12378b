"""Tables of `arfm episodes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from arfm_ros.episodes.edit.listing import Row
from arfm_ros.episodes.write.manifest import DISCARDED, SAVED

SUCCESS = {True: "yes", False: "no", None: ""}
COLUMNS = ("episode", "s", "MB", "task", "success", "operator", "bundle", "state", "note")
MB = 1e6


def show_rows(rows: Sequence[Row]) -> None:
    """Print one line for each episode.

    Plain columns: rich takes 18 s to lay out a table of 10,000 rows.
    """
    lines = [COLUMNS, *(_words(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    print(f"{len(rows)} episodes")
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())


def _words(row: Row) -> tuple[str, ...]:
    state = row.state if row.state != SAVED else ""
    who = ("human " if row.human else "") + row.operator
    words = (row.task, SUCCESS[row.success], who, row.bundle[:8], state, row.why)
    return (row.folder.name, f"{row.seconds:.1f}", f"{row.bytes / MB:.1f}", *words)


def as_json(row: Row) -> dict[str, Any]:
    """Give a row for JSON."""
    return asdict(row) | {"folder": str(row.folder)}


def stats(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Count by task, and all together under the empty name."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for task in {row.task, ""}:
            zero = {"episodes": 0, "successes": 0, "failures": 0, "discarded": 0, "incomplete": 0}
            count = found.setdefault(task, zero | {"seconds": 0.0, "bytes": 0})
            count["episodes"] += 1
            count["successes"] += row.success is True
            count["failures"] += row.success is False
            count["discarded"] += row.state == DISCARDED
            count["incomplete"] += row.verdict == "incomplete"
            count["seconds"] += row.seconds
            count["bytes"] += row.bytes
    return found


def show_stats(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one line for each task."""
    table = Table(title="episodes", title_justify="left")
    counted = ("episodes", "successes", "failures", "discarded", "incomplete")
    for column in ("task", *counted, "minutes", "MB"):
        table.add_column(column)
    for task, row in sorted(found.items(), reverse=True):
        numbers = [str(row[key]) for key in counted]
        size = f"{row['bytes'] / MB:.0f}"
        table.add_row(task or "all", *numbers, f"{row['seconds'] / 60:.1f}", size)
    Console().print(table)
