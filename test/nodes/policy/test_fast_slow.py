"""Contexts and chunks at rates of their own: a real node, a prefix that is slow, a fast step."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
from fast_slow_rig import (
    OTHER,
    QUICK,
    ROUNDS,
    TEXT,
    check_again,
    made,
    moving,
    recalls,
    taken_ns,
    value,
)
from policy_rig import Robot, pairs, served
from slow_rig import slow_bundle, without_field
from test_swap import ask_for, hashes, prove

from arfm_ros.core.values.data import ActionChunk, ChunkInfo
from arfm_ros.engines import load_bundle
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.nodes.ros.topics import GRIPPER_STATES


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_bundle(tmp_path_factory.mktemp("models") / "slow", ROUNDS)


def test_a_context_makes_several_chunks_each_with_a_fresh_state(
    slow: Path, ros_domain: int
) -> None:
    with served(slow, ros_domain, *QUICK, "min_camera_hz:=0.5") as robot, moving(robot):
        robot.instruct(TEXT)
        robot.hears_more_chunks(40)
        found = made(robot)
        stamps = [chunk.stamp_ns for chunk, _, _ in found]
        contexts = {taken_ns(recall) for _, _, recall in found}
        assert stamps == sorted(set(stamps))
        assert 2 <= len(contexts) < len(found)  # some made several chunks; how many is its rate
        for chunk, info, recall in found:
            assert chunk.stamp_ns in robot.state_stamps
            assert chunk.stamp_ns > taken_ns(recall)  # its state is newer than its pictures
            assert info.context_age_ns >= info.encode_ns
        robot.until(lambda: value(robot, "context_age.p50_ms") > 0)
        assert value(robot, "contexts") >= 2
        assert check_again(slow, robot, fresh=True) >= 10


def rate_and_age(bundle: Path, domain: int, *parameters: str) -> tuple[float, float]:
    """Let a node run for 20 s; print and return chunks a second and the state's p50 age in ms."""
    with served(bundle, domain, *parameters) as robot, moving(robot):
        robot.instruct(TEXT)
        robot.hears_more_chunks(1)
        begin = time.monotonic()
        robot.until(lambda: time.monotonic() > begin + 20.0)
        found = pairs(robot)
        rate = (len(robot.chunks) - 1) / (time.monotonic() - begin)
        ages = np.array([stages["sensor_to_chunk"] for _, _, stages in found])
        encode = np.median([info.encode_ns for _, info, _ in found]) * 1e-6
    middle, most = np.percentile(ages, (50, 99))
    print(
        f"{parameters[0]}: {rate:.1f} chunks/s, state {middle:.0f} ms old at the chunk (p99 "
        f"{most:.0f}), prefix {encode:.0f} ms, N = {len(found)}"
    )
    return rate, float(middle)


@pytest.mark.slow  # compares speeds
def test_more_chunks_of_younger_states_than_in_one_thread(slow: Path, ros_domain: int) -> None:
    rate, age = rate_and_age(slow, ros_domain, "fast_slow:=false", *QUICK[1:])
    rate_of_two, age_of_two = rate_and_age(slow, ros_domain, *QUICK)
    assert rate_of_two > 1.5 * rate and age_of_two < age / 2


def test_a_state_in_the_prefix_stays_as_old_as_the_picture_and_each_context_makes_one_chunk(
    tmp_path: Path, ros_domain: int
) -> None:
    bundle = slow_bundle(tmp_path / "inside", ROUNDS // 2, in_step=False)
    with served(bundle, ros_domain, *QUICK) as robot, moving(robot):
        robot.instruct(TEXT)
        robot.hears_more_chunks(8)
        found = made(robot)
        assert len({taken_ns(recall) for _, _, recall in found}) == len(found)
        for chunk, info, recall in found:
            stamps = recall.stamps_ns[0]  # a gripper's may be older: it binds none
            bound = [stamp for name, stamp in stamps.items() if name != GRIPPER_STATES.name]
            assert chunk.stamp_ns == min(bound)
            assert info.context_age_ns >= info.encode_ns
        assert check_again(bundle, robot, fresh=False) >= 6


def test_a_bundle_of_before_says_nothing_of_its_state_and_works_without_a_fresh_one(
    slow: Path, tmp_path: Path, ros_domain: int
) -> None:
    old = without_field(slow, tmp_path / "old")
    assert "state_in_step" not in (old / "policy.json").read_text()
    with served(old, ros_domain, *QUICK) as robot, moving(robot):
        robot.instruct(TEXT)
        robot.hears_more_chunks(4)
        assert check_again(old, robot, fresh=False) >= 3


def test_a_context_of_the_old_instruction_makes_no_chunk_after_the_change(
    slow: Path, ros_domain: int
) -> None:
    with served(slow, ros_domain, *QUICK) as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(5)
        for text in (OTHER, TEXT, OTHER):
            check_only(robot, text)
        assert check_again(slow, robot, fresh=True) >= 10


def check_only(robot: Robot, text: str) -> None:
    """Instruct, and check that all that comes afterwards was made for that."""
    robot.instruct(text)
    told = time.monotonic()
    robot.until(lambda: time.monotonic() > told + 0.1)  # to get there, and back
    since = len(robot.infos)
    robot.until(lambda: len(robot.infos) >= since + 5)
    later = [time_to_ns(info.header.stamp) for info in robot.infos[since:]]
    assert {recalls(robot)[stamp].instruction for stamp in later} == {text}


def test_a_takeover_cancels_the_chunk_and_keeps_the_context(slow: Path, ros_domain: int) -> None:
    with served(slow, ros_domain, *QUICK, "steps:=1000") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(2)
        turns = iter(range(10_000))

        def interrupted() -> bool:
            robot.hands_over_to("human" if next(turns) % 2 else "policy")
            return value(robot, "cancelled") >= 1

        robot.until(interrupted)
        robot.hands_over_to("policy")
        robot.hears_more_chunks(2)


def check_frozen(chunks: list[ActionChunk], guided: list[ChunkInfo]) -> None:
    """Check that the first actions of a chunk are those of the one before, at their times."""
    jumps = []
    for before, chunk in zip(chunks, chunks[1:]):
        at = (chunk.due_ns(0) - before.due_ns(0)) / before.dt_ns
        if at < 4:
            low = int(at)
            own = (1 - (at - low)) * before.actions[low] + (at - low) * before.actions[low + 1]
            jumps.append(float(np.abs(chunk.actions[0] - own).max()))
    assert len(jumps) >= len(guided) // 2 and np.median(jumps) < 0.2


def test_chunks_follow_on_at_the_fresh_states_stamp(tmp_path: Path, ros_domain: int) -> None:
    bundle = slow_bundle(tmp_path / "guided", ROUNDS // 2, guided=True)
    with served(bundle, ros_domain, *QUICK) as robot, moving(robot):
        robot.instruct(TEXT)
        robot.hears_more_chunks(12)
        found = made(robot)
        guided = [info for _, info, _ in found if info.guided]
        assert len(guided) >= len(found) // 2
        # the delay counts from the state, not from the picture that is hundreds of ms old
        assert all(1 <= info.prefix_length <= 4 for info in guided)
        check_frozen([chunk for chunk, _, _ in found], guided)


def test_a_context_never_meets_another_bundle(slow: Path, tmp_path: Path, ros_domain: int) -> None:
    first = prove(slow_bundle(tmp_path / "first", ROUNDS))
    second = prove(slow_bundle(tmp_path / "second", ROUNDS // 2, seed=1))
    old, new = (load_bundle(folder).sha256 for folder in (first, second))
    with served(first, ros_domain, *QUICK) as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(5)
        ask_for(robot, second)
        robot.until(lambda: hashes(robot).count(new) >= 10)
        said = hashes(robot)
        assert said == [old] * said.count(old) + [new] * said.count(new)
        assert check_again(first, robot, fresh=True) >= 5
        assert check_again(second, robot, fresh=True) >= 10


def _burn() -> None:
    while True:
        pass


def test_chunks_keep_their_rate_beside_two_busy_loops(slow: Path, ros_domain: int) -> None:
    burners = [multiprocessing.get_context("spawn").Process(target=_burn) for _ in range(2)]
    for one in burners:
        one.start()
    try:
        with served(slow, ros_domain, *QUICK) as robot, moving(robot):
            robot.instruct(TEXT)
            robot.hears_more_chunks(30)
            found = made(robot)
            stamps = [chunk.stamp_ns for chunk, _, _ in found]
            encode_ns = np.median([info.encode_ns for _, info, _ in found])
            assert np.median(np.diff(stamps)) < min(encode_ns / 2, 0.15e9)
            assert check_again(slow, robot, fresh=True) >= 10
    finally:
        for one in burners:
            one.kill()
            one.join()
