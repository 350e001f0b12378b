"""Data in which a filter cannot win: what is poor in it is known by the tick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from arfm_ros.episodes.reader import EpisodeReader  # noqa: E402
from arfm_ros.sim.expert.quality import Flaws, draw_flaws, quality  # noqa: E402
from arfm_ros.sim.record.demos import Demonstrator, DemoOptions  # noqa: E402

SECOND_NS = 1_000_000_000


def drawn(name: str, count: int = 60) -> list[Flaws]:
    return [draw_flaws(quality(name), np.random.default_rng(n)) for n in range(count)]


def test_older_kinds_draw_what_they_always_drew() -> None:
    flaws = draw_flaws(quality("mixed"), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    assert rng.random() >= 0.4 or flaws.detour_ns != (0, 0)
    assert flaws.pace == 1.0 and flaws.drops_ns == ()


def test_paces_are_fast_or_slow_and_none_is_to_fail() -> None:
    paces = drawn("paces")
    slow = [one for one in paces if one.pace < 1.0]
    assert 15 < len(slow) < 45 and not any(one.failing for one in paces)
    assert all(one.detour_ns != (0, 0) for one in slow)
    fast = next(one for one in paces if one.pace == 1.0)
    assert not fast.poor(SECOND_NS, True) and fast.speed(0.3, True) == 0.3
    assert slow[0].poor(0, False) and slow[0].speed(0.3, False) == pytest.approx(0.12)


def test_every_episode_of_segments_has_a_bad_stretch_and_a_good_one() -> None:
    for one in drawn("segments"):
        at = np.arange(0, 12 * SECOND_NS, SECOND_NS // 20)
        poor = np.array([one.poor(int(ns), False) for ns in at])
        assert poor.any() and not poor.all() and not one.failing
    assert any(one.drops_ns for one in drawn("segments"))


def test_no_episode_of_stitch_is_good_throughout_and_each_part_is_good_in_some() -> None:
    parts = {one.pace_when for one in drawn("stitch")}
    assert parts == {"held", "empty"}
    for one in drawn("stitch"):
        late = 9 * SECOND_NS  # behind any detour
        assert one.poor(late, True) != one.poor(late, False)


def test_of_halves_one_part_is_clumsy_and_what_is_dropped_was_held_slowly() -> None:
    kinds = {(one.pace_when, bool(one.drops_ns), bool(one.pauses_ns)) for one in drawn("halves")}
    assert kinds == {("held", True, False), ("empty", False, True)}
    assert not any(one.failing for one in drawn("halves"))


def test_graded_noise_runs_from_none_to_much() -> None:
    sizes = [max(abs(x) + abs(y) for _, _, x, y in one.waves) for one in drawn("graded")]
    assert min(sizes) < 0.004 < 0.02 < max(sizes)


def test_the_truth_of_an_episode_is_recorded_by_the_tick(tmp_path: Path) -> None:
    made = Demonstrator(DemoOptions(quality=quality("paces"), cameras=()))
    told = {}
    for seed in range(1, 7):
        assert made.record("reach", seed, tmp_path / f"e{seed}")
        told[seed] = EpisodeReader(tmp_path / f"e{seed}").label()
    slow = [label for label in told.values() if "poor_ns" in label]
    fast = [label for label in told.values() if "poor_ns" not in label]
    assert slow and fast
    assert min(one["seconds"] for one in slow) > np.median([one["seconds"] for one in fast])
    for label in slow:
        ends = [end for _, end in label["poor_ns"]]
        assert 0 < max(ends) <= 30 * SECOND_NS
        assert all(begin < end for begin, end in label["poor_ns"])
