"""Judge measured runs of the stack against what it must reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from arfm_ros.bringup import find_bundle
from arfm_ros.core.errors import BundleError

Run = Mapping[str, Any]  # what `session.run` returns
SUCCESS_TARGETS = {"lift": 0.90, "reach": 0.95}
TASKS_MEASURED = tuple(SUCCESS_TARGETS)
ROBOT_SIDE = ("policy_node", "arbiter_node", "recorder_node")


@dataclass(frozen=True, slots=True)
class Line:
    """One target; `measured` is None where it was not measured."""

    name: str
    target: str
    measured: float | None
    met: bool

    def as_dict(self) -> dict[str, object]:
        """Return the fields for JSON."""
        return asdict(self)


def at_least(name: str, measured: float | None, target: float, unit: str = "") -> Line:
    """Make a line whose value must not be smaller than `target`."""
    met = measured is not None and measured >= target
    return Line(name, f">= {target:g} {unit}".strip(), measured, met)


def at_most(name: str, measured: float | None, target: float, unit: str = "") -> Line:
    """Make a line whose value must not be larger than `target`."""
    met = measured is not None and measured <= target
    return Line(name, f"<= {target:g} {unit}".strip(), measured, met)


def judge(runs: Mapping[str, Run], parity: Mapping[str, Any]) -> list[Line]:
    """Compare the runs (task -> report) and the bundle's parity with the targets."""
    lines = [
        at_least(f"success of {task}", runs[task]["success_rate"], target)
        for task, target in SUCCESS_TARGETS.items()
        if task in runs
    ]
    every = list(runs.values())
    lines.append(at_most("camera frames lost", _frames_lost(every), 0))
    rates = [run["joint_states"]["rate_hz"] for run in every]
    gaps = [run["joint_states"]["largest_gap_ms"] for run in every]
    steps = [run["command_step"]["largest_over_limit"] for run in every]
    motions = [run["first_motion_s"] for run in every if run["first_motion_s"] is not None]
    lines += [
        at_least("joint states", min(rates), 200, "Hz"),
        at_most("largest gap of joint states", max(gaps), 20, "ms"),
        at_most("sensor to chunk without inference, p50", _overhead(every), 5, "ms"),
        at_most("largest command step / (limit x dt)", max(steps), 1),
        at_most("shaking: power above 3 Hz", _worst(every, "shaking"), 0.05),
        at_most("log dimensionless jerk of the tool", _worst(every, "jerk"), 12.6),
        at_most("first motion", max(motions, default=None), 15, "s"),
        at_most("robot side resident", max(_resident(run) for run in every), 1024, "MiB"),
        at_least("onnxruntime faster than eager torch", parity["timing"]["ratio"], 2, "x"),
        at_most("ONNX against torch, a step", parity["max_step_error"], 1e-5),
        at_most("ONNX against torch, the chunk", parity["max_chunk_error"], 1e-5),
    ]
    return lines


def _frames_lost(runs: list[Run]) -> float | None:
    counts = [count for run in runs for count in run["frames"].values()]
    if not any(count["published"] for count in counts):
        return None
    return float(sum(count["published"] - count["recorded"] for count in counts))


def _worst(runs: list[Run], name: str) -> float | None:
    values = [run["smoothness"][name] for run in runs]
    return max((value for value in values if value is not None), default=None)


def _overhead(runs: list[Run]) -> float | None:
    found = [run["latency_ms"].get("overhead", {}).get("p50") for run in runs]
    return None if None in found else max(found)


def _resident(run: Run) -> float:
    return sum(run["resident_mib"].get(name, 0.0) for name in ROBOT_SIDE)


def parity_of(policy: str) -> dict[str, Any]:
    """Read what `arfm export` measured of the bundle, on the machine it was exported on."""
    path = find_bundle(policy) / "parity.json"
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}): export the bundle again") from error


def show(lines: list[Line], runs: Mapping[str, Run]) -> None:
    """Print the table and the machine it was measured on."""
    machine = next(iter(runs.values()))["machine"]
    show_lines(lines, "what the stack must reach")
    count = {task: len(run["episodes"]) for task, run in runs.items()}
    Console().print(f"{count} episodes on {machine['cpu']}, {machine['cores']} cores")


def show_lines(lines: list[Line], title: str) -> None:
    """Print targets beside what was measured."""
    table = Table(title=title, title_justify="left")
    for column in ("", "target", "measured", "met"):
        table.add_column(column)
    for line in lines:
        value = "not measured" if line.measured is None else f"{line.measured:.4g}"
        table.add_row(line.name, line.target, value, "yes" if line.met else "[red]no[/]")
    Console().print(table)
