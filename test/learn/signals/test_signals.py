"""Signals of recorded episodes: each tells what it says it does, and its report is right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_rig import CONFIG, plan, silent, write_episodes

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.data.frames import Frames, load_frames
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.signals import heads, report
from arfm_ros.learn.signals.heads import Fit
from arfm_ros.learn.signals.rewards import TERMS
from arfm_ros.learn.signals.rl_signal import SignalConfig
from arfm_ros.learn.signals.source import (
    Told,
    make_source,
    parse_source,
    seconds,
    seconds_left,
    sources,
)

NAMES = {
    "advantage", "chunk_td", "human", "near_advantage", "preference", "progress", "smoothness",
    "success", "time_to_success",
}  # fmt: skip
NONE = np.zeros((0, 0), np.float32)


def made_up(lengths: list[int], success: list[int], dt_s: float = 0.1) -> Frames:
    """Frames of episodes of so many observations, joints that go from 0 to 1."""
    rows = sum(lengths)
    episode = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    stamps = np.concatenate([np.arange(n) * int(dt_s * 1e9) for n in lengths])
    returns = np.full((rows, len(TERMS)), np.nan, np.float32)
    for e, n in enumerate(lengths):
        own = episode == e
        left = np.arange(n, 0, -1)
        returns[own, TERMS.index("steps_to_success")] = (
            success[e] / left if success[e] >= 0 else np.nan
        )
    ramp = np.concatenate([np.linspace(0, 1, n) for n in lengths])
    state = np.stack([ramp, 0 * ramp], axis=1).astype(np.float32)
    chunk = np.repeat(state[:, None], 8, axis=1)
    chunk = chunk + np.linspace(0, 0.1, 8, dtype=np.float32)[None, :, None]
    return Frames(
        images={}, state=state, chunk=chunk, keyframe=state, episode=episode,
        tokens=np.zeros((len(lengths), 4), np.int64), instructions=("",) * len(lengths),
        tasks=("lift",) * len(lengths), returns=returns, human=np.zeros(rows, np.bool_),
        success=np.array(success, np.int8), stamp_ns=stamps,
        folders=tuple(f"/e/{n}" for n in range(len(lengths))),
    )  # fmt: skip


def test_all_signals_are_found_by_name_and_a_wrong_name_or_knob_is_said() -> None:
    assert set(sources()) == NAMES
    with pytest.raises(ConfigError, match="needs one of advantage, chunk_td"):
        make_source("luck")
    with pytest.raises(ConfigError, match="does not take .*weight"):
        make_source("success", weight=2)


@pytest.mark.parametrize(
    ("told", "needed"),
    [
        ("advantage:gamma=0.9", "it takes kind=distribution, tau_s=4.0"),
        ("advantage:steps=0", "steps=0, needs a number above 0"),
        ("advantage:steps=1.5", "needs a whole number"),
        ("advantage:seed=-1", "seed=-1, needs a number of 0 or more"),
        ("chunk_td:tau_s=x", "tau_s=x, needs a number"),
        ("time_to_success:of=3", "of=3, needs a word"),
        ("preference:margin=inf", "margin needs a finite number"),
    ],
)
def test_a_knob_that_does_not_fit_is_said_with_what_is_needed(told: str, needed: str) -> None:
    with pytest.raises(ConfigError, match=needed):
        parse_source(told)


def test_time_is_that_of_the_stamps_and_counts_down_to_the_success() -> None:
    frames = made_up([11, 6, 6], [1, 1, 0])
    assert seconds(frames)[10] == pytest.approx(1.0)
    assert seconds_left(frames)[11] == pytest.approx(0.5)
    knobs = {"tau_s": 2.0, "limit_s": 10.0}
    whole = make_source("time_to_success", **knobs).tell(frames, NONE)
    assert whole.values[:11] == pytest.approx(np.exp(-0.5))  # an episode has one time
    assert whole.values[11:17] == pytest.approx(np.exp(-0.25))
    assert whole.values[17:] == pytest.approx(np.exp(-5.0))
    told = make_source("time_to_success", of="rest", **knobs).tell(frames, NONE)
    assert told.values[0] == pytest.approx(np.exp(-0.5))
    assert told.values[10] == told.values[16] == pytest.approx(1.0)
    assert told.values[-1] == pytest.approx(np.exp(-5.0))  # a failure, as late as the limit
    unknown = make_source("time_to_success").tell(made_up([5], [-1]), NONE)
    assert np.isnan(unknown.values).all()


def test_smoothness_is_of_what_is_commanded_and_nothing_is_said_of_standing_still() -> None:
    frames = made_up([4, 4], [1, 1])
    shaken = frames.chunk.copy()
    shaken[4:, ::2] += 0.05
    told = make_source("smoothness").tell(replace(frames, chunk=shaken), NONE)
    assert told.values[:4].min() > told.values[4:].max()
    still = replace(frames, chunk=np.zeros_like(frames.chunk))
    assert np.isnan(make_source("smoothness").tell(still, NONE).values).all()


def test_a_takeover_counts_against_what_was_before_and_for_what_the_person_did() -> None:
    frames = made_up([40], [1])
    human = np.zeros(40, np.bool_)
    human[25:30] = True
    told = make_source("human", blame_s=1.0).tell(replace(frames, human=human), NONE)
    assert (told.values[25:30] == 1).all() and (told.values[15:25] == -1).all()
    assert (told.values[:15] == 0).all() and (told.values[30:] == 0).all()
    assert "nobody" in make_source("human").tell(frames, NONE).notes[0]


def test_of_like_starts_the_faster_success_is_preferred_and_the_failure_never() -> None:
    frames = made_up([10, 20, 15, 10], [1, 1, 0, 1])
    told = make_source("preference").tell(frames, NONE)
    share = [told.values[frames.episode == e][0] for e in range(4)]
    assert share[0] == share[3] == pytest.approx((0.5 + 1 + 1) / 3)
    assert share[1] == pytest.approx(1 / 3) and share[2] == 0.0
    alone = make_source("preference").tell(made_up([5], [1]), NONE)
    assert np.isnan(alone.values).all() and "nothing to be compared" in alone.notes[0]


def test_what_comes_later_does_not_count_where_the_value_takes_over() -> None:
    """Each episode is slow in one of two halves, and all take the same time."""
    halves = [np.linspace(0, 0.5, n, endpoint=False) for n in (10, 25)]
    ways = [np.concatenate([halves[k], 0.5 + halves[1 - k]]) for k in (0, 1)]
    episodes = [ways[e % 2] for e in range(16)]
    place = np.concatenate(episodes)
    features = np.stack([np.cos(n * np.pi * place) for n in range(1, 7)], axis=1)
    frames = made_up([35] * 16, [1] * 16)
    fast = np.concatenate([(way < 0.5) == (e % 2 == 0) for e, way in enumerate(episodes)])
    begin = place < 0.3
    found = {}
    for name in ("advantage:steps=300", "near_advantage:steps=300,over_s=0.5"):
        source = parse_source(name)
        values = source.tell(frames, features.astype(np.float32)).values
        found[source.name] = report.auc(values[begin & fast], values[begin & ~fast])
        assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1.5
    assert found["near_advantage"] is not None and found["near_advantage"] > 0.9
    assert found["advantage"] is not None and found["advantage"] < 0.7


@pytest.mark.parametrize("kind", ["distribution", "expectile"])
def test_the_advantage_is_what_the_context_does_not_explain(kind: str) -> None:
    """Two kinds of starts, seen in the context: hard ones take long, whatever is done."""
    rng = np.random.default_rng(0)
    hard = np.arange(40) % 2
    quick = rng.integers(0, 2, 40)
    lengths = [int(10 + 30 * h + 6 * (1 - q)) for h, q in zip(hard, quick)]
    frames = made_up(lengths, [1] * 40)
    features = np.stack([hard[frames.episode], frames.state[:, 0]], axis=1).astype(np.float32)
    told = make_source("advantage", kind=kind, steps=300).tell(frames, features)
    early = frames.state[:, 0] < 0.3
    q, h = quick[frames.episode], hard[frames.episode]
    for one in (0, 1):
        rows = early & (h == one)
        assert told.values[rows & (q == 1)].mean() > told.values[rows & (q == 0)].mean() + 0.02
    by_h = [told.values[early & (h == one)].mean() for one in (0, 1)]
    raw = [told.parts["return"][early & (h == one)].mean() for one in (0, 1)]
    assert abs(by_h[0] - by_h[1]) < 0.3 * abs(raw[0] - raw[1])


def test_a_critic_of_chunks_prefers_the_chunk_that_leads_to_success() -> None:
    rng = np.random.default_rng(1)
    good = rng.integers(0, 2, 60)
    frames = made_up([20] * 60, [int(g) for g in good])
    chunk = frames.chunk.copy()
    chunk[:, :, 1] += (0.5 * good[frames.episode])[:, None]
    features = frames.state
    told = make_source("chunk_td", steps=300).tell(replace(frames, chunk=chunk), features)
    late = frames.state[:, 0] > 0.6
    g = good[frames.episode] == 1
    assert report.auc(told.values[late & g], told.values[late & ~g]) > 0.9


def test_what_cannot_be_valued_is_said() -> None:
    features = np.zeros((10, 2), np.float32)
    with pytest.raises(EpisodeError, match="no episode has a label"):
        make_source("advantage").tell(made_up([5, 5], [-1, -1]), features)
    with pytest.raises(EpisodeError, match="2 episodes do not make 4 folds"):
        make_source("advantage", steps=2).tell(made_up([5, 5], [1, 0]), features)
    with pytest.raises(EpisodeError, match="diverged"):
        heads.checked(np.array([0.0, np.inf]), np.array([0.0, 1.0]))


def test_no_head_judges_an_episode_that_it_has_seen() -> None:
    episode = np.repeat(np.arange(9), 3)
    judged = []
    for learned, rows in heads.folds_of(episode, Fit(folds=4)):
        assert not set(episode[learned]) & set(episode[rows])
        judged.append(rows)
    np.testing.assert_array_equal(np.sort(np.concatenate(judged)), np.arange(27))


def test_the_report_counts_pairs_ranks_and_phases() -> None:
    assert report.auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 4)
    assert report.auc(np.array([]), np.array([1.0])) is None
    frames = made_up([8, 8], [1, 0])
    told = Told(np.where(frames.episode == 0, 1.0, 0.0))
    row = report.tells("success", told, frames)
    assert row.auc_success == 1.0 and row.spread_within == 0.0 and row.time_left is None
    rising = Told(-seconds_left(frames))
    row = report.tells("soon", rising, frames, np.where(frames.episode == 0, 1, -1))
    assert row.auc_truth == pytest.approx(0.5) and row.time_left == pytest.approx(-1.0)
    assert row.phases[0] < row.phases[-1]


def test_the_verb_reports_writes_a_side_car_and_draws(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 4)
    out, told, picture = tmp_path / "s.npz", tmp_path / "r.json", tmp_path / "p.png"
    before = sorted(path.stat().st_mtime_ns for path in data.rglob("*"))
    words = ["--out", str(out), "--json", str(told), "--plot", str(picture)]
    assert main(["signals", str(data), "--good", str(data), *words]) == 0
    assert sorted(path.stat().st_mtime_ns for path in data.rglob("*")) == before
    rows = {row["name"]: row for row in json.loads(told.read_text())}
    assert set(rows) == NAMES - {"advantage", "chunk_td", "near_advantage"}
    assert rows["success"]["auc_success"] == 1.0
    with np.load(out) as kept:
        assert {"success", "time_to_success.seconds_left", "stamp_ns", "folders"} <= set(kept)
        assert len(kept["success"]) == len(kept["episode"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["signals", str(data), "--signal", "advantage"]) == 1


def test_frames_know_their_stamps_and_folders(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 2)
    frames = load_frames([data], tmp_path / "cache", CONFIG)
    assert len(frames.stamp_ns) == len(frames) and (np.diff(frames.stamp_ns[:5]) > 0).all()
    assert [Path(one).name for one in frames.folders] == ["episode_0", "episode_1"]


def test_training_takes_a_signal_for_r_and_one_that_looks_needs_a_policy(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 6)
    signal = SignalConfig(source="time_to_success:tau_s=2")
    options = {"objective": Arfm(), "signal": signal}
    start(plan(data, tmp_path / "one", **options), say=silent)
    looks = SignalConfig(source="advantage:steps=20")
    with pytest.raises(ConfigError, match="begin with one .--init"):
        start(plan(data, tmp_path / "two", objective=Arfm(), signal=looks), say=silent)
    further = plan(data, tmp_path / "three", objective=Arfm(), signal=looks)
    start(replace(further, init=tmp_path / "one"), say=silent)
