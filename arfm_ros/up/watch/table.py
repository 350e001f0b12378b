"""The live table and the closing summary, with rich; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table

from arfm_ros.core.values.statistics import wilson
from arfm_ros.up.watch.readings import EpisodeResult, Readings

SHOWN_EPISODES = 8


def live_view(readings: Readings, states: dict[str, str]) -> Group:
    """Draw what happens now; `states` says of each node how it is."""
    return Group(_nodes(readings, states), _latency(readings), _episodes(readings.episodes))


def _nodes(readings: Readings, states: dict[str, str]) -> Table:
    table = Table(title="nodes", title_justify="left", expand=False)
    table.add_column("node", min_width=14)
    table.add_column("state", min_width=10)
    table.add_column("says", min_width=40, overflow="fold")
    for name, state in states.items():
        table.add_row(name, state, readings.complaints.get(name, _line(name, readings)))
    return table


def _line(name: str, readings: Readings) -> str:
    if name == "sim_node":
        cameras = ", ".join(f"{c} {g.rate_hz:.0f} Hz" for c, g in readings.frames.items())
        return f"joints {readings.joint_states.rate_hz:.0f} Hz, {cameras}"
    if name == "arbiter_node":
        return f"authority: {readings.authority or '-'}"
    if name == "recorder_node" and readings.recorder:
        mib = float(readings.recorder.get("bytes", 0)) / 2**20
        doing = "recording" if readings.recorder.get("recording") == "true" else "waiting"
        return f"{doing}, last bag {mib:.0f} MiB"
    if name == "rollout_node" and readings.task:
        done = len(readings.episodes)
        elapsed = float(readings.task.get("elapsed_s", 0.0))
        return f"episode {done + 1}, {readings.task['task']}, {elapsed:.0f} s"
    return ""


def _latency(readings: Readings) -> Table:
    table = Table(title="latency, ms", title_justify="left")
    table.add_column("stage", min_width=24)
    for quantile in ("p50", "p99", "max"):
        table.add_column(quantile, justify="right", min_width=7)
    for stage, values in readings.latency_ms.items():
        shown = (f"{values[q]:.1f}" if q in values else "-" for q in ("p50", "p99", "max"))
        table.add_row(stage, *shown)
    return table


def _episodes(episodes: Sequence[EpisodeResult]) -> Table:
    table = Table(title=f"episodes: {success_text(episodes)}", title_justify="left")
    for column in ("#", "task", "result", "seconds", "bag"):
        table.add_column(column)
    for one in episodes[-SHOWN_EPISODES:]:
        verdict = "[green]success[/]" if one.success else f"[red]failure[/] ({one.reason})"
        table.add_row(str(one.index), one.task, verdict, f"{one.seconds:.1f}", one.bag)
    return table


def success_text(episodes: Sequence[EpisodeResult]) -> str:
    """Say `4 of 5 (80 %, 95 % interval 38-96 %)`."""
    wins, count = sum(one.success for one in episodes), len(episodes)
    if not count:
        return "none yet"
    low, high = wilson(wins, count)
    rate = f"{100 * wins / count:.0f} %, 95 % interval {100 * low:.0f}-{100 * high:.0f} %"
    return f"{wins} of {count} ({rate})"


def episode_line(one: EpisodeResult) -> str:
    """Say how an episode went in one plain line."""
    verdict = "success" if one.success else f"failure ({one.reason})"
    bag = f"  {one.bag}" if one.bag else ""
    return f"episode {one.index}: {one.task} {verdict} in {one.seconds:.1f} s{bag}"


def show_summary(console: Console, readings: Readings, report: dict[str, object]) -> None:
    """Print the closing tables."""
    if readings.episodes:
        console.print(_episodes(readings.episodes))
    if readings.latency_ms:
        console.print(_latency(readings))
    frames = report.get("frames")
    for camera, count in frames.items() if isinstance(frames, dict) else ():
        if count["recorded"]:
            console.print(frames_line(camera, count), highlight=False)
    if readings.episodes:
        console.print(f"success: {success_text(readings.episodes)}", highlight=False)


def frames_line(camera: str, count: dict[str, int]) -> str:
    """Say how many frames of a camera were recorded of those published."""
    lost = count["published"] - count["recorded"]
    return (
        f"camera {camera}: {count['recorded']} frames recorded of {count['published']} "
        f"published while recording, {lost} lost"
    )


def show_error(console: Console, readings: Readings, error: str) -> None:
    """Print why a run ended early, and what the nodes last complained of."""
    console.print("[red]the run ended early:[/]", highlight=False)
    console.print(error, highlight=False, markup=False, soft_wrap=True)
    for node, complaint in sorted(readings.complaints.items()):
        console.print(f"{node} last said: {complaint}", highlight=False, markup=False)
