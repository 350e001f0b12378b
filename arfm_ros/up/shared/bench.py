"""From a person's event to the arm's motion, for a gamepad and a keyboard, in the simulation."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.up.shared.arm import NotInTime, SharedArm
from arfm_ros.up.shared.devices import JoyDriver, PtyTyping
from arfm_ros.up.targets import Line, at_most

STAGES = ("target", "command", "motion")
COMMANDED_RAD, MOVED_RAD = 1e-6, 3e-5  # what counts as another command, as motion
MOTION_TARGET_MS, SENT_TARGET_MS = 40.0, 20.0  # two ticks of the arbiter
REST_S, WATCH_S, HOLD_S = 10.0, 1.0, 0.25
Event = Callable[[], int]  # makes something happen; returns the steady time of it


@dataclass(slots=True)
class Latencies:
    """Of one device, ms after the event: N events by stage."""

    stages: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STAGES})
    missed: int = 0  # events without motion within a second
    sent_ms: dict[str, float] = field(default_factory=dict)  # as the node itself says

    def quantile(self, stage: str, share: float) -> float:
        """Return a quantile in ms; infinite where nothing happened."""
        values = self.stages[stage]
        return float(np.quantile(values, share)) if values else float("inf")

    def as_json(self) -> dict[str, Any]:
        """Return p50, p99 and N of each stage."""
        rows = {
            stage: {"p50_ms": self.quantile(stage, 0.5), "p99_ms": self.quantile(stage, 0.99)}
            for stage in STAGES
        }
        count = len(self.stages["motion"])
        return {"n": count, "missed": self.missed, "stages": rows, "node": self.sent_ms}


def measure(device: str, count: int, logs: Path) -> Latencies:
    """Take over and let go `count` times with "joy" or "keyboard"."""
    if device == "joy":
        arm = SharedArm(logs, device="joy")
        pad = JoyDriver(arm.node)
        return _measure(arm, count, _joy(pad), lambda: pad.set(0.0, False), pad.unplug)
    terminal = PtyTyping()
    arm = SharedArm(logs, device="keyboard", terminal=terminal.path)
    return _measure(arm, count, _keys(terminal), lambda: terminal.type("\x1b"), terminal.close)


def _joy(pad: JoyDriver) -> Callable[[int], int]:
    return lambda k: pad.set(-1.0 if k % 2 else 1.0, True)


def _keys(terminal: PtyTyping) -> Callable[[int], int]:
    return lambda k: terminal.type(" s" if k % 2 else " w")


def _measure(
    arm: SharedArm, count: int, press: Callable[[int], int], release: Event, close: Event | Any
) -> Latencies:
    found, rng = Latencies(), random.Random(0)
    try:
        arm.engage()
        for k in range(count):
            release()
            arm.until(arm.at_rest, REST_S)
            time.sleep(rng.uniform(0.0, 0.02))  # at any phase of the ticks
            _one(arm, found, lambda k=k: press(k))
        release()
        time.sleep(1.1)  # the node tells once a second
        values = arm.said.get("teleop_node", ("", {}))[1]
        wanted = ("event_to_command", "target_to_command", "event_to_target")
        found.sent_ms = {n: float(v) for n, v in values.items() if n.startswith(wanted)}
    finally:
        close()
        arm.close()
    return found


def _one(arm: SharedArm, found: Latencies, press: Event) -> None:
    rest = {"target": None, "command": arm.newest("command"), "motion": arm.newest("state")}
    least = {"target": 0.0, "command": COMMANDED_RAD, "motion": MOVED_RAD}
    event_ns = press()

    def first(stage: str) -> int | None:
        name = "state" if stage == "motion" else stage
        return arm.first_after(name, event_ns, rest[stage], least[stage])

    try:
        arm.until(lambda: first("motion") is not None, WATCH_S)
    except NotInTime:
        found.missed += 1
        return
    for stage in STAGES:
        at_ns = first(stage)
        if at_ns is not None:
            found.stages[stage].append((at_ns - event_ns) / 1e6)
    time.sleep(HOLD_S)


def lines(results: dict[str, Latencies]) -> list[Line]:
    """Judge what was measured."""
    judged = []
    for device, one in results.items():
        moved = one.quantile("motion", 0.5)
        judged.append(at_most(f"{device}: event to motion, p50", moved, MOTION_TARGET_MS, "ms"))
        sent = one.sent_ms.get("event_to_command.p50_ms", float("inf"))
        text = f"{device}: event at the node to first command, p50"
        judged.append(at_most(text, sent, SENT_TARGET_MS, "ms"))
        judged.append(at_most(f"{device}: events without motion", one.missed, 0))
    return judged


def describe(results: dict[str, Latencies]) -> str:
    """Return a line for each device."""
    told = []
    for device, one in results.items():
        parts = ", ".join(
            f"{stage} {one.quantile(stage, 0.5):.0f} / {one.quantile(stage, 0.99):.0f}"
            for stage in STAGES
        )
        told.append(f"{device}: event to {parts} ms (p50 / p99, N = {len(one.stages['motion'])})")
    return "\n".join([*told, f"load of the machine: {os.getloadavg()[0]:.1f}"])
