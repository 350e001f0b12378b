"""The benchmark's judgement of measured runs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from arfm_ros.up.targets import Line, judge

GOOD: dict[str, Any] = {
    "success_rate": 0.97,
    "episodes": [],
    "frames": {"scene": {"published": 100, "recorded": 100}},
    "joint_states": {"rate_hz": 250.0, "largest_gap_ms": 6.0},
    "command_step": {"largest_over_limit": 0.8},
    "smoothness": {"shaking": 0.02, "jerk": 12.0},
    "first_motion_s": 7.0,
    "latency_ms": {"overhead": {"p50": 2.0}},
    "resident_mib": {"policy_node": 200.0, "arbiter_node": 150.0, "recorder_node": 150.0},
}
PARITY = {"timing": {"ratio": 3.0}, "max_step_error": 1e-6, "max_chunk_error": 1e-6}


def missed(runs: dict[str, Any], parity: dict[str, Any] | None = None) -> list[Line]:
    return [line for line in judge(runs, parity or PARITY) if not line.met]


def test_a_run_that_reaches_everything_misses_nothing() -> None:
    assert missed({"lift": GOOD, "reach": GOOD}) == []


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("success_rate",), 0.89, "success of lift"),
        (("frames", "scene", "recorded"), 99, "camera frames lost"),
        (("joint_states", "rate_hz"), 199.0, "joint states"),
        (("joint_states", "largest_gap_ms"), 21.0, "largest gap of joint states"),
        (("command_step", "largest_over_limit"), 1.01, "largest command step / (limit x dt)"),
        (("smoothness", "shaking"), 0.06, "shaking: power above 3 Hz"),
        (("smoothness", "jerk"), 12.7, "log dimensionless jerk of the tool"),
        (("first_motion_s",), 16.0, "first motion"),
        (("first_motion_s",), None, "first motion"),
        (("latency_ms", "overhead", "p50"), 5.1, "sensor to chunk without inference, p50"),
        (("resident_mib", "policy_node"), 900.0, "robot side resident"),
    ],
)
def test_each_miss_is_named(path: tuple[str, ...], value: object, name: str) -> None:
    run = deepcopy(GOOD)
    inner = run
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert [line.name for line in missed({"lift": run})] == [name]


def test_what_was_not_measured_is_not_met() -> None:
    run = deepcopy(GOOD) | {"latency_ms": {}, "frames": {}}
    names = {line.name: line.measured for line in missed({"lift": run})}
    assert names == {"camera frames lost": None, "sensor to chunk without inference, p50": None}
