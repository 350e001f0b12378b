"""Rewards of recorded episodes and the R* made of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_rig import DT_NS, SMALL, write_episode, write_episodes

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.task_state import TaskState, read_task_state
from arfm_ros.episodes.windows import EpisodeArrays
from arfm_ros.learn.data.frames import Frames, load_frames, open_frames
from arfm_ros.learn.loop.begin import frames_config
from arfm_ros.learn.signals.rewards import TERMS, human_steps, returns_to_go, step_rewards
from arfm_ros.learn.signals.rl_signal import (
    Reward,
    SignalConfig,
    centred,
    make_signal,
    parse_reward,
    weighted_returns,
)
from arfm_ros.robots.embodiment import default

FR3 = default()

T = 20
CONFIG = frames_config(SMALL)
RAW = SignalConfig(z_score=False)


def arrays(success: bool | None = True, human_from: int = T) -> EpisodeArrays:
    """Make an episode of T observations that moves joint 1 at 1 rad/s."""
    stamp = (np.arange(T) + 1) * DT_NS
    path = np.zeros((T, 8), np.float32)
    path[:, 0] = np.arange(T) * DT_NS * 1e-9
    due = (np.arange(T + 1) + 1) * DT_NS  # the last observation's action follows it
    return EpisodeArrays(
        images={},
        state=path,
        stamp_ns=stamp,
        commands=np.append(path, path[-1:] + path[1:2], axis=0),
        command_stamp_ns=due,
        authority=np.where(np.arange(T + 1) < human_from, "policy", "human"),
        instruction="",
        success=success,
        task="lift",
        folder=Path("episode"),
    )


def task_state(progress: np.ndarray, success_from: int = T) -> TaskState:
    stamp = (np.arange(T) + 1) * DT_NS
    return TaskState(stamp, progress, np.arange(T) >= success_from)


def column(returns: np.ndarray, term: str) -> np.ndarray:
    return returns[:, TERMS.index(term)]


def frames(returns: dict[str, np.ndarray], tasks: list[str], success: list[int]) -> Frames:
    """Make observations, the same number of each episode, from the terms' returns."""
    count = len(next(iter(returns.values())))
    table = np.zeros((count, len(TERMS)), np.float32)
    for name, values in returns.items():
        table[:, TERMS.index(name)] = values
    episode = np.repeat(np.arange(len(tasks)), count // len(tasks)).astype(np.int32)
    empty = np.zeros((count, 8), np.float32)
    return Frames(
        images={},
        state=empty,
        chunk=empty[:, None],
        keyframe=empty,
        episode=episode,
        tokens=np.zeros((len(tasks), 1), np.int64),
        instructions=("",) * len(tasks),
        tasks=tuple(tasks),
        returns=table,
        human=np.zeros(count, np.bool_),
        success=np.array(success, np.int8),
    )


def test_the_weights_are_named_like_the_terms() -> None:
    assert tuple(Reward.__dataclass_fields__) == TERMS


@pytest.mark.parametrize(("success", "value"), [(True, 1.0), (False, 0.0)])
def test_a_label_alone_gives_every_step_the_same_return(success: bool, value: float) -> None:
    returns = column(returns_to_go(arrays(success), None, FR3), "success")
    np.testing.assert_array_equal(returns, np.full(T, value, np.float32))


def test_steps_to_success_count_down_to_the_success_that_stays() -> None:
    state = task_state(np.zeros(T), success_from=12)
    state.success[5] = True  # for a moment only
    returns = column(returns_to_go(arrays(), state, FR3), "steps_to_success")
    np.testing.assert_allclose(returns[:13], 1 / np.arange(13, 0, -1), rtol=1e-6)
    np.testing.assert_array_equal(returns[13:], 1.0)
    failed = returns_to_go(arrays(False), state, FR3)
    np.testing.assert_array_equal(column(failed, "steps_to_success"), 0)


def test_progress_returns_the_mean_rate_from_here_to_the_end() -> None:
    steady = task_state(np.linspace(0, 1, T))
    returns = column(returns_to_go(arrays(False), steady, FR3), "progress")
    np.testing.assert_allclose(returns * np.arange(T, 0, -1), 1 - np.linspace(0, 1, T), atol=1e-6)


def test_a_nan_in_the_progress_repeats_the_value_before_it() -> None:
    value = np.linspace(0, 1, T)
    value[7:9] = np.nan
    rewards = step_rewards(arrays(), task_state(value), FR3)
    progress = column(rewards, "progress")
    assert np.isfinite(progress).all() and progress.sum() == pytest.approx(1.0)
    assert progress[6] == progress[7] == 0.0
    nothing = step_rewards(arrays(), task_state(np.full(T, np.nan)), FR3)
    assert np.isnan(column(nothing, "progress")).all()


def test_smoothness_is_minus_the_square_of_speed_and_acceleration() -> None:
    rewards = step_rewards(arrays(), None, FR3)
    for path in ("joint", "action"):
        np.testing.assert_allclose(column(rewards, f"{path}_velocity"), -1.0, atol=1e-4)
        np.testing.assert_allclose(column(rewards, f"{path}_acceleration"), 0.0, atol=1e-4)
    moved = arrays()
    moved.state[:, 7] = np.random.default_rng(0).random(T)  # the gripper does not count
    again = step_rewards(moved, None, FR3)
    np.testing.assert_array_equal(rewards, again)


def test_a_state_that_is_not_finite_leaves_the_rewards_finite() -> None:
    broken = arrays()
    broken.state[0] = broken.state[9] = np.nan
    assert np.isfinite(column(step_rewards(broken, None, FR3), "joint_velocity")).all()


def test_a_takeover_blames_the_second_before_it_and_no_step_after() -> None:
    episode = arrays(human_from=15)
    episode = replace(
        episode, stamp_ns=4 * episode.stamp_ns, command_stamp_ns=4 * episode.command_stamp_ns
    )
    blamed = column(step_rewards(episode, None, FR3), "takeover")
    human = human_steps(episode)
    assert np.flatnonzero(human).tolist() == [14, 15, 16, 17, 18, 19]
    assert np.flatnonzero(blamed).tolist() == [9, 10, 11, 12, 13]  # 5 x 200 ms
    returns = column(returns_to_go(episode, None, FR3), "takeover")
    assert (returns[:14] < 0).all() and not returns[14:].any()


def test_an_episode_without_a_label_has_no_return_of_success_but_of_movement() -> None:
    returns = returns_to_go(arrays(None), None, FR3)
    assert np.isnan(column(returns, "success")).all()
    assert np.isfinite(column(returns, "joint_velocity")).all()


@pytest.mark.parametrize("group", ["observation", "episode"])
def test_what_is_centred_sums_to_zero_and_leaves_itself_out(group: str) -> None:
    rng = np.random.default_rng(0)
    returns, episode = rng.normal(size=30), np.repeat(np.arange(30), 1)
    signal = centred(returns, episode, SignalConfig(z_score=False, group=group))
    assert signal.sum() == pytest.approx(0.0, abs=1e-10)
    others = [returns[i] - np.delete(returns, i).mean() for i in range(30)]
    np.testing.assert_allclose(signal, others, atol=1e-12)


def test_in_groups_of_episodes_a_long_episode_counts_once() -> None:
    returns, episode = np.array([1.0] * 9 + [0.0]), np.array([0] * 9 + [1])
    signal = centred(returns, episode, SignalConfig(z_score=False, group="episode"))
    np.testing.assert_allclose(signal[[0, -1]], [1.0, -1.0])


def test_the_z_score_makes_the_scale_of_the_reward_disappear() -> None:
    returns = np.random.default_rng(0).normal(size=40)
    episode = np.arange(40)
    one = centred(returns, episode, SignalConfig())
    np.testing.assert_allclose(one, centred(0.001 * returns + 5, episode, SignalConfig()))
    assert one.std() == pytest.approx(40 / 39)
    assert centred(returns, episode, RAW).std() == pytest.approx(40 / 39 * returns.std())


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3, -7e5])
def test_equal_returns_are_exactly_zero(value: float) -> None:
    returns = np.full(49, value, np.float32).astype(np.float64)
    assert not centred(returns, np.arange(49), SignalConfig()).any()


def test_each_task_is_compared_with_itself() -> None:
    values = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    signal = make_signal(frames({"success": values}, list("abcd"), [1, 0, 1, 1]), SignalConfig())
    assert not signal.values.any()  # tasks of one episode each, its returns all the same
    mixed = make_signal(frames({"success": values}, list("aabb"), [1, 0, 1, 1]), RAW)
    np.testing.assert_allclose(mixed.values, [2 / 3] * 2 + [-2 / 3] * 2 + [0] * 4)
    assert any("task 'b'" in note for note in mixed.notes)


def test_unlabelled_episodes_count_as_average_and_are_counted() -> None:
    values = np.array([1.0, 1.0, 0.0, 0.0, np.nan, np.nan])
    signal = make_signal(frames({"success": values}, list("aaa"), [1, 0, -1]), SignalConfig())
    assert not signal.values[4:].any() and signal.values[:4].all()
    assert any("1 of 3 episodes have no reward" in note for note in signal.notes)


def test_no_label_at_all_names_what_is_missing_and_what_to_do() -> None:
    unlabelled = frames({"success": np.full(4, np.nan)}, list("ab"), [-1, -1])
    with pytest.raises(EpisodeError, match="none of 2 .*success is unknown.*recorder/label"):
        make_signal(unlabelled, SignalConfig())
    moving = replace(unlabelled, returns=unlabelled.returns + np.arange(8, dtype=np.float32))
    assert len(make_signal(moving, SignalConfig(parse_reward("joint_velocity"))).values) == 4


def test_failures_only_are_told_and_give_no_signal() -> None:
    signal = make_signal(frames({"success": np.zeros(4)}, list("aa"), [0, 0]), SignalConfig())
    assert not signal.values.any()
    assert any("all 2 labelled episodes failed" in note for note in signal.notes)


def test_terms_add_with_their_weights_and_unused_ones_may_be_unknown() -> None:
    returns = np.full((3, len(TERMS)), np.nan, np.float32)
    returns[:, TERMS.index("success")], returns[:, TERMS.index("takeover")] = 1.0, -0.5
    np.testing.assert_allclose(weighted_returns(returns, Reward(takeover=2.0)), 0.0)
    assert np.isnan(weighted_returns(returns, Reward(progress=1.0))).all()


def test_a_reward_is_read_from_text_and_a_wrong_one_refused() -> None:
    assert parse_reward("success=2, progress") == Reward(success=2, progress=1, takeover=0)
    with pytest.raises(ConfigError, match="'speed'.*steps_to_success"):
        parse_reward("speed=1")
    with pytest.raises(ConfigError, match="not a finite number"):
        parse_reward("success=high")
    with pytest.raises(ConfigError, match="observation, episode"):
        SignalConfig(group="batch")


def test_what_the_task_says_is_read_from_the_recording(tmp_path: Path) -> None:
    said = [0.1 * i for i in range(11)] + [float("nan")]
    folder = write_episode(tmp_path / "e", 0, progress=said)
    state = read_task_state(EpisodeReader(folder))
    assert state is not None
    np.testing.assert_allclose(state.progress, said)
    np.testing.assert_array_equal(state.stamp_ns, (np.arange(12) + 1) * DT_NS)
    assert not state.success.any()
    silent = write_episode(tmp_path / "silent", 0)
    assert read_task_state(EpisodeReader(silent)) is None


def test_frames_hold_the_returns_the_humans_and_the_labels(tmp_path: Path) -> None:
    for n, success in enumerate([True, False, None]):
        write_episode(tmp_path / "data" / f"e{n}", n, success=success)
    read = load_frames([tmp_path / "data"], tmp_path / "cache", CONFIG)
    assert read.success.tolist() == [1, 0, -1] and read.returns.shape == (36, len(TERMS))
    assert read.human.reshape(3, 12).sum(axis=1).tolist() == [4] * 3  # the step before counts
    signal = make_signal(read, SignalConfig(parse_reward("success"))).values.reshape(3, 12)
    assert (signal[0] > 0).all() and (signal[1] < 0).all() and not signal[2].any()


def test_a_truncated_and_a_foreign_episode_are_skipped_and_named(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 3)
    bag = next((data / "episode_1").glob("*.mcap"))
    bag.write_bytes(bag.read_bytes()[: bag.stat().st_size // 2])
    next((data / "episode_2").glob("*.mcap")).write_bytes(b"")
    read = load_frames([data], tmp_path / "cache", CONFIG)
    assert len(read.tasks) == 1 and len(read.skipped) == 2
    assert "episode_1" in read.skipped[0] and "cut off" in read.skipped[0]
    shutil.rmtree(data / "episode_0")
    with pytest.raises(EpisodeError, match="2 cannot be used, first episode_1"):
        load_frames([data], tmp_path / "again", CONFIG)


def test_a_cache_from_before_the_rewards_still_opens(tmp_path: Path) -> None:
    data, cache = write_episodes(tmp_path / "data", 2), tmp_path / "cache"
    load_frames([data], cache, CONFIG)
    with np.load(cache / "frames.npz") as rows:
        old = {n: rows[n] for n in ("state", "chunk", "keyframe", "episode")}
    np.savez(cache / "frames.npz", **old)
    opened = open_frames(cache, CONFIG)
    assert np.isnan(opened.returns).all() and opened.success.tolist() == [-1, -1]
