"""A picture of a sweep: success over delay, one line for each bundle, mode and count of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arfm_ros.core.values.statistics import wilson
from arfm_ros.evaluate.rollout import RolloutResult
from arfm_ros.evaluate.sweep import Outcomes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f5fa8", "#d1495b", "#2e8b57", "#f2a65a", "#8e6bbf", "#3c3c3c")
SHIFT_MS = 2.0  # between lines, so that their bars do not hide each other


def draw(outcomes: Outcomes, out: Path) -> Path:
    """Draw success with Wilson intervals over the delay, a panel for each task."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(cell.task for cell in outcomes))
    figure = Figure(figsize=(1 + 4.5 * len(tasks), 4), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks):
        _draw_task(axes, {c: r for c, r in outcomes.items() if c.task == task})
        axes.set(title=task, xlabel="observation to chunk, ms", ylim=(-3, 103))
        axes.grid(alpha=0.3)
    episodes = len(next(iter(outcomes.values())))
    panels[0].set_ylabel(f"success, % of {episodes} (95 % Wilson)")
    panels[0].legend(frameon=False)
    figure.savefig(out, dpi=130)
    return out


def _draw_task(axes: Axes, outcomes: Outcomes) -> None:
    lines = dict.fromkeys((cell.bundle, cell.mode, cell.steps) for cell in outcomes)
    for i, (bundle, mode, steps) in enumerate(lines):
        row = {
            cell.delay_ms + SHIFT_MS * (i - (len(lines) - 1) / 2): results
            for cell, results in outcomes.items()
            if (cell.bundle, cell.mode, cell.steps) == (bundle, mode, steps)
        }
        rates, bars = _bars(row)
        named = f"{bundle.name}, {mode}" + (f", {steps}" if steps else "")
        colour = COLOURS[i % len(COLOURS)]
        axes.errorbar(
            list(row), rates, bars, marker="o", capsize=3, color=colour,
            label=named,
        )  # fmt: skip


def _bars(
    row: Mapping[float, Sequence[RolloutResult]],
) -> tuple[list[float], list[list[float]]]:
    """Return rates and the lengths of their bars below and above, in percent."""
    rates: list[float] = []
    bars: list[list[float]] = [[], []]
    for results in row.values():
        good, n = sum(r.success for r in results), len(results)
        low, high = wilson(good, n)
        rates.append(100 * good / n)
        bars[0].append(max(rates[-1] - 100 * low, 0.0))
        bars[1].append(max(100 * high - rates[-1], 0.0))
    return rates, bars
