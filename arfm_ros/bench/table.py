"""Tables of `arfm bench BUNDLE` and `arfm bench seams`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from arfm_ros.bench.seams import ACCELERATION_TARGET, STEP_TARGET_RAD, Row, met

MIB = 2**20
TIMES = ("p50", "p99", "max", "CPU p50", "floor", "p50/floor")


def show(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what `bench_bundle` returned."""
    console = console or Console()
    console.print(_costs(results))
    for runtime, rows in groupby(results["rows"], key=lambda row: str(row["runtime"])):
        console.print(_times(runtime, rows))
    on = results["machine"]
    console.print(
        f"{on['processor']}, {on['cores']} cores, load {results['load_average']} before; "
        f"{results['steps']} flow steps; {_versus(results['rows'])}"
    )
    for line in (*_roofs(results["roofs"]), *_follow_on(results)):
        console.print(line)
    for what, why in results["not_measured"].items():
        console.print(f"{what} was not measured: {why}")
    floors = ", ".join(f"{gpu} {_ms(ms)}" for gpu, ms in results["gpu_floors_ms"].items())
    console.print(f"floor of a chunk in bf16 by data sheets, nothing run there, ms: {floors}")


def show_seams(
    rows: Mapping[str, Row], seconds: float, seed: int, console: Console | None = None
) -> None:
    """Print how smooth each way to send chunks came out."""
    console = console or Console()
    title = f"a joint_trajectory_controller at 500 Hz, {seconds:g} simulated s, seed {seed}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    columns = ("sent as", "largest step, rad", "99.9 % |accel|, rad/s^2", "messages", "rejected")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for name, row in rows.items():
        sizes = (f"{row.largest_step_rad:.4f}", f"{row.acceleration_999_rad_s2:.0f}")
        table.add_row(name, *sizes, str(row.messages), str(row.rejected))
    console.print(table)
    wanted = f"within {STEP_TARGET_RAD:g} rad and {ACCELERATION_TARGET:g} rad/s^2"
    verdict = "met" if met(rows) else "MISSED"
    console.print(f"ours: the smoothest or {wanted}, nothing rejected: {verdict}")


def _costs(results: Mapping[str, Any]) -> Table:
    title = f"{results['bundle']}: counted from its graphs"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for i, column in enumerate(("graph", "MFLOP", "MiB moved", "in a chunk", "in chunk_rtc")):
        table.add_column(column, justify="left" if i == 0 else "right")
    runs = results["runs_in_a_chunk"]
    for name, cost in results["graphs"].items():
        counts = [str(runs.get(chunk, {}).get(name, 0)) for chunk in ("chunk", "chunk_rtc")]
        moved = (cost["weight_bytes"] + cost["io_bytes"]) / MIB
        table.add_row(name, f"{cost['flops'] / 1e6:.1f}", f"{moved:.2f}", *counts)
    return table


def _times(runtime: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    title = f"{runtime}: milliseconds, batch 1"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for i, column in enumerate(("", "N", *TIMES)):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        found = [_ms(row[name]) for name in ("p50_ms", "p99_ms", "max_ms", "cpu_p50_ms")]
        if row["floor_ms"] is not None:
            found += [_ms(row["floor_ms"]), f"{row['ratio']:.2f}"]
        table.add_row(row["what"], str(row["count"]), *found)
    return table


def _versus(rows: list[Mapping[str, Any]]) -> str:
    """Compare the first runtime's chunk with each other's."""
    chunks = {row["runtime"]: row["p50_ms"] for row in rows if row["what"] == "chunk"}
    (first, own), *others = chunks.items()
    times = [f"{ms / own:.2f} x as long with {name}" for name, ms in others]
    return f"a chunk takes {_ms(own)} ms with {first}" + "".join(f", {one}" for one in times)


def _roofs(roofs: list[Mapping[str, Any]]) -> list[str]:
    lines = []
    for roof in roofs:
        threads = f"{roof['threads']} thread{'s' if roof['threads'] > 1 else ''}"
        lines.append(
            f"roof of {roof['graph']}, {threads}: {roof['flops_per_s'] / 1e9:.0f} GFLOP/s, "
            f"{roof['bytes_per_s'] / 1e9:.0f} GB/s at {roof['read_bytes'] / MIB:.1f} MiB"
        )
    return lines


def _follow_on(results: Mapping[str, Any]) -> list[str]:
    mode = results["rtc_mode"]
    return [
        f"{what} that follows on ({mode}): {found['ratio']:.2f} x the plain one, "
        f"at most {found['at_most']}: {'met' if found['met'] else 'MISSED'}"
        for what, found in results["follow_on"].items()
    ]


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
