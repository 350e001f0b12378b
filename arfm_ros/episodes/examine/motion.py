"""Faults of motion: values that cannot be, arms that do not follow, idle time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.episodes.examine.finding import Finding
from arfm_ros.episodes.read.axes import AxisSeries

GRID_S = 0.02
SPEED_MAX = 8.0  # rad/s or m/s of an axis: faster is no motion but a wrong value
IDLE_S, IDLE_SPEED = 1.5, 0.01  # longer than this without an axis faster than that
LAGS = 30  # of GRID_S: how late an arm may follow its command
APART = 0.1  # rad or m in the median, at the best lag
SHARE = 0.3  # of the command's own way, where that is small
F64 = NDArray[np.float64]


def motion_faults(
    folder: Path, measured: Mapping[str, AxisSeries], commanded: Mapping[str, AxisSeries]
) -> list[Finding]:
    """Look at what was measured and at what was commanded, on even instants."""
    axes = {name: axis for name, axis in measured.items() if len(axis.stamp_ns) > 1}
    found = [one for name, axis in axes.items() for one in _outliers(name, axis)]
    if not axes:
        return found
    begin = max(int(axis.stamp_ns[0]) for axis in axes.values())
    end = min(int(axis.stamp_ns[-1]) for axis in axes.values())
    at_ns = np.arange(begin, end, round(GRID_S * 1e9), dtype=np.int64)
    if len(at_ns) > 2 * LAGS:
        found += _idle(folder, {name: axis.at(at_ns) for name, axis in axes.items()})
        for name in axes.keys() & commanded.keys():
            found += _mismatch(name, axes[name], commanded[name], at_ns)
    return found


def _outliers(name: str, axis: AxisSeries) -> list[Finding]:
    wild = int(np.sum(~np.isfinite(axis.value)))
    if wild:
        return [Finding(f"{name}: {wild} values are no numbers", "leave it out")]
    dt_s = np.diff(axis.stamp_ns) / 1e9
    steps = np.abs(np.diff(axis.value))
    # Two samples may come close together: a step is judged by the time of a usual period at least.
    usual_s = float(np.median(dt_s)) if len(dt_s) else 0.0
    fast = steps > SPEED_MAX * np.maximum(dt_s, max(usual_s, 1e-3))
    if not fast.any():
        return []
    text = f"{name}: {int(fast.sum())} steps that no joint can make (largest {steps.max():.2f})"
    return [Finding(text, "look at the encoder or at who else publishes it; leave it out")]


def _idle(folder: Path, paths: Mapping[str, F64]) -> list[Finding]:
    speed = np.max([np.abs(np.gradient(path, GRID_S)) for path in paths.values()], axis=0)
    moving = np.flatnonzero(speed > IDLE_SPEED)
    total_s = len(speed) * GRID_S
    if not len(moving):
        return [Finding(f"nothing moves in {total_s:.1f} s", "leave it out")]
    head_s, tail_s = moving[0] * GRID_S, (len(speed) - 1 - moving[-1]) * GRID_S
    found = []
    for idle_s, where, at_s in (
        (head_s, "first", head_s - IDLE_S / 3),
        (tail_s, "last", total_s - tail_s + IDLE_S / 3),
    ):
        if idle_s > IDLE_S:
            text = f"nothing moves in the {where} {idle_s:.1f} s of {total_s:.1f}"
            found.append(Finding(text, f"arfm episodes split {folder} --at {at_s:.1f}"))
    return found


def _mismatch(
    name: str, was: AxisSeries, told: AxisSeries, at_ns: NDArray[np.int64]
) -> list[Finding]:
    """Compare a command with where the axis then was, at the lag that fits best."""
    at_ns = at_ns[at_ns >= told.stamp_ns[0]]
    if len(at_ns) <= 2 * LAGS:
        return []
    wanted, there = told.at(at_ns), was.at(at_ns)
    gaps = [wanted[: len(wanted) - lag] - there[lag:] for lag in range(LAGS)]
    best = min(gaps, key=lambda gap: _size(gap - np.median(gap)))
    offset, apart = float(np.median(best)), min(_size(gap) for gap in gaps)
    text = f"{name}: its commands and where it then was are {apart:.2f} apart (median)"
    if abs(offset) > APART and _size(best - offset) < APART / 2:
        fix = "an offset in the topic map (--topics)"
        return [Finding(f"{text}, always by {offset:+.2f}", fix)]
    if apart > max(APART, SHARE * float(np.ptp(wanted))):
        fix = "names, signs or units of the commands: a scale in the topic map"
        return [Finding(text, fix)]
    return []


def _size(gap: F64) -> float:
    return float(np.median(np.abs(gap)))
