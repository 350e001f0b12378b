"""The table of `arfm faults`: a row for each kind, worst values over its trials."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from arfm_ros.faults.judging.judge import Row

COLUMNS = ("fault", "n", "reaction", "stop ms", "rest ms", "cmd v", "cmd a", "arm v", "arm a")


def line(row: Row) -> str:
    """Return one trial as a line."""
    verdict = "; ".join(row.violations) or "ok"
    if row.violations:
        verdict += f" (robot late {row.robot_late_ms:.0f} ms{', replayed' * row.replayed})"
    return (
        f"{row.kind} [{row.seed}]: {row.reaction}, stop {_ms(row.stop_ms)}, rest "
        f"{_ms(row.rest_ms)}, {row.travel_rad:.3f} rad, {row.recovered or 'not recovered'} in "
        f"{row.recovery_s:.1f} s: {verdict}"
    )


def show(rows: Sequence[Row]) -> None:
    """Print the table and what was broken."""
    console = Console(width=150)
    table = Table(title="largest values; velocity and acceleration: 1 is the limit")
    for column in (*COLUMNS, "rad after", "recovered", "violations"):
        table.add_column(column)
    for kind in sorted({row.kind for row in rows}):
        table.add_row(*_cells(kind, [row for row in rows if row.kind == kind]))
    console.print(table)
    console.print("\n".join(_summary(rows)), highlight=False)


def _cells(kind: str, rows: Sequence[Row]) -> tuple[str, ...]:
    return (
        kind,
        str(len(rows)),
        max((row.reaction for row in rows), key=[row.reaction for row in rows].count)[:24],
        _worst([row.stop_ms for row in rows]),
        _worst([row.rest_ms for row in rows]),
        f"{max(row.command_velocity for row in rows):.2f}",
        f"{max(row.command_acceleration for row in rows):.2f}",
        f"{max(row.arm_velocity for row in rows):.2f}",
        f"{max(row.arm_acceleration for row in rows):.2f}",
        f"{max(row.travel_rad for row in rows):.3f}",
        rows[0].recovered or "never",
        str(sum(len(row.violations) for row in rows)),
    )


def _summary(rows: Sequence[Row]) -> list[str]:
    broken = [line(row) for row in rows if row.violations]
    stops = [row.stop_ms for row in rows if row.stop_ms is not None]
    middle = f", median stop {median(stops):.0f} ms" if stops else ""
    count = sum(len(row.violations) for row in rows)
    before = [f"stopped before {row.kind}: {text}" for row in rows for text in row.before]
    return [f"{len(rows)} faults injected, {count} violations{middle}", *broken, *before]


def _worst(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.0f}" if known else "-"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
