"""Tables of `arfm eval`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from arfm_ros.core.values.statistics import wilson
from arfm_ros.evaluate.bundles import all_seams, smoothness
from arfm_ros.evaluate.envs.environment import EpisodeResult
from arfm_ros.evaluate.sweep import Cell, Outcomes, Pair

WIDTH = 100


def show_success(outcomes: Outcomes) -> None:
    """Print one row for each cell: success with its Wilson interval."""
    table = Table(title="success, 95 % Wilson interval", title_justify="left")
    measured = ("success", "interval", "n", "seams", "shaking", "jerk")
    for column in ("bundle", "task", "rtc", "delay", *measured):
        table.add_column(column)
    for cell, results in outcomes.items():
        good, n = sum(r.success for r in results), len(results)
        low, high = wilson(good, n)
        interval = f"{_percent(low)} – {_percent(high)}"
        ratio = all_seams(results).ratio
        seams = "" if ratio is None else f"{ratio:.2f}"
        smooth = smoothness(results)
        moved = ["" if x is None else f"{x:.3g}" for x in (smooth.shaking, smooth.jerk)]
        table.add_row(*_name(cell), f"{_percent(good / n)} %", interval, str(n), seams, *moved)
    console = Console()
    console.width = max(console.width, WIDTH)  # a narrow terminal breaks lines, not numbers
    console.print(table)
    for cell, results in outcomes.items():
        share = sum(r.views_reused for r in results) / len(results)
        if share:
            console.print(f"{' '.join(_name(cell))}: {share:.0%} of the pictures were used again")
        lost = sum(r.diverged for r in results)
        if lost:
            console.print(
                f"{' '.join(_name(cell))}: the physics diverged in {lost} of {len(results)}, "
                "which count as failures"
            )
    console.print("seams: 99.9 % joint acceleration of the commands over that inside chunks")
    console.print("shaking: power of the joint velocities above 3 Hz; jerk: log, dimensionless")


def show_environment(title: str, results: Sequence[EpisodeResult]) -> None:
    """Print one row for each task: success with its Wilson interval, and actions until then."""
    table = Table(title=f"{title}, 95 % Wilson interval", title_justify="left")
    for column in ("task", "success", "interval", "n", "actions (median)"):
        table.add_column(column)
    for task in dict.fromkeys(one.task for one in results):
        good = [one for one in results if one.task == task and one.success]
        n = sum(one.task == task for one in results)
        low, high = wilson(len(good), n)
        actions = f"{median(one.steps for one in good):.0f}" if good else ""
        interval = f"{_percent(low)} – {_percent(high)}"
        table.add_row(task, f"{_percent(len(good) / n)} %", interval, str(n), actions)
    Console().print(table)


def show_comparisons(compared: Sequence[Pair]) -> None:
    """Print one row for each pair: on how many starts they differ, and whether that is chance."""
    if not compared:
        return
    table = Table(title="B against A on the same starts", title_justify="left")
    for column in ("task", "delay", "A", "B"):
        table.add_column(column, overflow="fold")
    for column in ("alone A, B", "B − A in points", "p"):
        table.add_column(column, no_wrap=True)
    for pair in compared:
        c = pair.comparison
        low, high = (f"{100 * end:+.1f}" for end in c.interval)
        table.add_row(
            pair.a.task,
            f"{pair.a.delay_ms} ms",
            *_what_differs(pair),
            f"{c.only_a}, {c.only_b}",
            f"{100 * c.difference:+.1f} [{low}, {high}]",
            f"{c.p:.3g}",
        )
    console = Console()
    console.print(table)
    console.print("alone: starts on which only this one succeeded; p: McNemar's exact test;")
    console.print("interval: 95 %, paired bootstrap (--json has one after Newcombe as well)")


def _what_differs(pair: Pair) -> tuple[str, str]:
    if pair.a.change != pair.b.change:
        return (pair.a.change or "as learned", pair.b.change or "as learned")
    if pair.a.steps != pair.b.steps:
        return (_steps(pair.a), _steps(pair.b))
    if pair.a.bundle == pair.b.bundle:
        return (pair.a.mode, pair.b.mode)
    return (pair.a.bundle.name, pair.b.bundle.name)


def _steps(cell: Cell) -> str:
    return "its own steps" if cell.steps is None else str(cell.steps)


def _name(cell: Cell) -> tuple[str, str, str, str]:
    mode = cell.mode if cell.steps is None else f"{cell.mode}, {cell.steps}"
    mode += f", {cell.change}" if cell.change else ""
    return (cell.bundle.name, cell.task, mode, f"{cell.delay_ms} ms")


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}"
