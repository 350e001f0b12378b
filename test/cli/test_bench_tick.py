"""What `arfm bench tick` times is a day with everything in it, and it says what it found."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from arfm_ros.bench.chunk_stream import ChunkStream
from arfm_ros.bench.tick import ARM, TARGETS_US, config_of, measure
from arfm_ros.cli import bench


def test_chunks_are_played_and_a_human_takes_over() -> None:
    ticks = measure(2, 6.0, seed=1)
    assert ticks.count == 600
    assert ticks.authorities["policy"] > 300 and ticks.authorities["human"] >= 100
    assert ticks.refused <= 3  # chunks observed before the hand-over
    assert 0.0 < ticks.p50_us <= ticks.p99_us <= ticks.p999_us <= ticks.max_us


def test_two_arms_have_the_limits_of_one_each_and_each_its_own_space() -> None:
    one, two = config_of(1), config_of(2)
    assert two.limits.size == 16 and [lane.size for lane in two.lanes] == [7, 1, 7, 1]
    assert len(set(two.limits.names)) == 16
    assert two.limits.together is not None and not two.limits.together[:8, 8:].any()
    home, low = ChunkStream(1).start, ChunkStream(1).start.copy()
    low[1] += 1.8  # the arm leans forward into the table
    inside, outside = one.space.depth(home), one.space.depth(low)
    assert inside < 0.0 < outside
    assert two.space.depth(np.concatenate([home, low])) == outside
    assert two.space.describe(np.concatenate([home, low])) == one.space.describe(low)


def test_the_verb_writes_both_sizes_and_says_whether_they_were_met(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    out = tmp_path / "tick.json"
    code = bench.run(parser.parse_args(["tick", "--seconds", "5", "--json", str(out)]))
    told = json.loads(out.read_text())
    assert set(told["ticks"]) == {str(axes) for axes in TARGETS_US} == {"8", "16"}
    assert code == int(not all(line["met"] for line in told["targets"]))
    assert ARM.size == 8
