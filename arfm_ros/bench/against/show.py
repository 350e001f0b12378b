"""Tables of `arfm bench BUNDLE --against lerobot:FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

MIB = 2**20


def show(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what `bench_against` returned."""
    console = console or Console()
    rows = results["rows"]
    console.print(_times(results, rows))
    console.print(_memory(results["memory_bytes"]))
    on, apart = results["machine"], results["difference"]
    console.print(
        f"{on['processor']}, {on['cores']} cores, load {results['load_average']} before; "
        f"{results['steps']} flow steps, {results['threads']} threads, {results['library']}"
    )
    console.print(
        f"commands from the same noise differ by {apart['largest']:.2g}, {apart['share']:.2g} of "
        f"their size, allowed {apart['limit']:g}"
    )
    own, *others = rows
    for one in others:
        console.print(
            f"a chunk takes {one['runtime']} {one['p50_ms'] / own['p50_ms']:.2f} x as long as the "
            f"bundle, {one['cpu_p50_ms'] / own['cpu_p50_ms']:.2f} x in processor time"
        )
    for what, why in results["not_measured"].items():
        console.print(f"{what} was not measured: {why}")


def _times(results: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Table:
    title = f"{results['bundle']}: a chunk from raw pictures, state and text, ms"
    table = _table(title, ("", "N", "p50", "p99", "max", "CPU p50"))
    for row in rows:
        times = (row[name] for name in ("p50_ms", "p99_ms", "max_ms", "cpu_p50_ms"))
        table.add_row(row["runtime"], str(row["count"]), *(f"{ms:.4g}" for ms in times))
    return table


def _memory(memory: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Table:
    title = "a process of its own has grown by, MiB (anonymous / resident)"
    stages = ("packages", "opened", "first chunk")
    table = _table(title, ("", *stages, "most resident"))
    for name, marks in memory.items():
        cells = [
            f"{marks[s]['anonymous'] / MIB:.0f} / {marks[s]['resident'] / MIB:.0f}" for s in stages
        ]
        most = max(one["peak_resident"] for one in marks.values()) / MIB
        table.add_row(name, *cells, f"{most:.0f}")
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table
