"""How chunks sent in several ways come out of a joint_trajectory_controller."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from arfm_ros.bench.chunk_stream import BEGIN_NS, NS, ChunkStream
from arfm_ros.bench.encodings import Ours, fr3_arm
from arfm_ros.bench.seams import ENCODINGS, OURS, UPDATE_NS, Row, drive, measure, met
from arfm_ros.cli import bench
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.sim.controllers.jtc import JtcConfig, JtcCore

SECONDS = 6.0


@cache
def row(name: str) -> Row:
    return measure(name, SECONDS, seed=1)


def test_the_stream_is_the_same_for_the_same_seed_and_inside_the_limits() -> None:
    first, again = (list(ChunkStream(3).arrivals(4.0)) for _ in range(2))
    assert [a.at_ns for a in first] == [a.at_ns for a in again] and len(first) == 10
    limits = fr3_limits()
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a.chunk.actions, b.chunk.actions)
        assert (a.chunk.actions >= limits.low).all() and (a.chunk.actions <= limits.high).all()
        assert 60e6 <= a.at_ns - a.chunk.stamp_ns <= 140e6
    path = ChunkStream(3).path(np.arange(0.0, 60.0, 0.01))
    assert 0.4 < np.abs(np.diff(path, axis=0)).max() / 0.01 < 1.0


def test_ours_is_smooth_and_nothing_is_rejected() -> None:
    rows = {name: row(name) for name in ENCODINGS}
    assert met(rows)
    assert rows[OURS].rejected == rows[OURS].chunks_refused == 0
    assert rows["one point per step, time 0"].largest_step_rad > 10 * rows[OURS].largest_step_rad


@pytest.mark.parametrize(
    "change",
    [{"largest_step_rad": 1.0}, {"acceleration_999_rad_s2": 1e5}, {"rejections": {"past": 1}}],
)
def test_what_is_rough_or_rejected_misses(change: dict[str, object]) -> None:
    rows = {name: row(name) for name in ENCODINGS}
    assert not met(rows | {OURS: replace(rows[OURS], **change)})  # type: ignore[arg-type]


@pytest.mark.parametrize("dies_s", [0.3, 1.13, 2.0, 2.77])
def test_a_sender_that_dies_leaves_an_arm_that_stops_within_its_limits(dies_s: float) -> None:
    stream = ChunkStream(2)
    config = JtcConfig(fr3.JOINT_NAMES, UPDATE_NS, interpolate_from_desired_state=True)
    core = JtcCore(config, stream.start[:7])
    drive(core, Ours(stream.start), stream, dies_s)
    begin = BEGIN_NS + round(dies_s * NS)
    path = np.array([core.sample(t)[0] for t in range(begin, begin + 3 * NS, UPDATE_NS)])
    assert not np.diff(path[-500:], axis=0).any()
    rest, limits = path[50:], fr3_limits()  # what the last message itself joined is over
    speed = np.diff(rest, axis=0) / (UPDATE_NS / NS)
    bend = np.diff(speed, axis=0) / (UPDATE_NS / NS)
    assert (np.abs(speed) <= limits.velocity[:7]).all()
    assert (np.abs(bend).max(axis=0) <= 2.0 * limits.acceleration[:7]).all()
    assert (path >= limits.low[:7]).all() and (path <= limits.high[:7]).all()


def test_the_arm_that_is_measured_with_has_the_arbiters_limits() -> None:
    assert [axis.high for axis in fr3_arm("jtc").axes] == fr3_limits().high[:7].tolist()


def test_the_verb_writes_every_row_and_says_whether_it_was_met(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    out = tmp_path / "seams.json"
    words = ["seams", "--seconds", "1", "--seed", "1", "--json", str(out)]
    code = bench.run(parser.parse_args(words))
    told = json.loads(out.read_text())
    assert list(told["rows"]) == list(ENCODINGS) and code == int(not told["met"])
    assert {"largest_step_rad", "acceleration_999_rad_s2", "rejections"} <= set(told["rows"][OURS])
