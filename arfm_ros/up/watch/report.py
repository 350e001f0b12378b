"""What a run gives at its end: the JSON of `arfm up --json` and what the summary shows."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.smoothness import mean_of
from arfm_ros.core.values.statistics import wilson
from arfm_ros.engines.gate.machine import processor
from arfm_ros.up.stack.supervisor import Watched
from arfm_ros.up.watch.readings import CommandStep, Readings

JOINT_GAP_UNIT_NS = 1_000_000


def build(readings: Readings, watched: Watched, steps: CommandStep) -> dict[str, Any]:
    """Return the report of a run; `bundle` and `frames` are added by the caller."""
    wins, count = sum(one.success for one in readings.episodes), len(readings.episodes)
    joints = readings.joint_states
    return {
        "success_rate": wins / count if count else None,
        "success_interval_95": wilson(wins, count),
        "episodes": [
            {
                "task": one.task,
                "success": one.success,
                "seconds": one.seconds,
                "bag": one.bag,
                "seed": one.seed,
                "reason": one.reason,
                "smoothness": one.smooth.as_json(),
            }
            for one in readings.episodes
        ],
        "smoothness": mean_of([e.smooth for e in readings.episodes if e.success]).as_json(),
        "latency_ms": readings.latency_ms,
        "joint_states": {
            "rate_hz": round(joints.rate_hz, 2),
            "largest_gap_ms": joints.largest_gap_ns / JOINT_GAP_UNIT_NS,
        },
        "command_step": {
            "largest_over_limit": round(steps.largest, 4),  # 1: the velocity limit times dt
            "joint": steps.joint,
        },
        "first_motion_s": readings.first_motion_s,
        "ready_s": watched.ready_s,
        "resident_mib": watched.resident_mib,
        "interrupted": watched.interrupted,
        "machine": machine(),
    }


def machine() -> dict[str, object]:
    """Name the machine that was measured on."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ros": os.environ.get("ROS_DISTRO") or "jazzy (wheels)",
    }


def save(path: Path, report: Mapping[str, object]) -> None:
    """Write the report as JSON."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}") from error
