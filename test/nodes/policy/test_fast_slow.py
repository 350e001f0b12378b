"""Contexts and chunks at rates of their own: a real node, a prefix that is slow, a fast step."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from policy_rig import DEADLINE_S, PICTURE, STATE, Robot, pairs, poison, served, start_node
from slow_rig import slow_bundle, without_field
from test_swap import ask_for, hashes, prove

from arfm_ros.core.values.data import ActionChunk, ChunkInfo, Observation
from arfm_ros.core.values.fresh import with_state
from arfm_ros.core.values.recall import KEY, Recall, recall_of
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.nodes.ros.convert import time_to_ns

TEXT, OTHER = "lift the cube", "place the cube"
ROUNDS = 250  # of the prefix: some hundred ms
QUICK = ("fast_slow:=true", "period_s:=0.05", "max_age_s:=5.0", "frozen_after_s:=0.0")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_bundle(tmp_path_factory.mktemp("models") / "slow", ROUNDS)


@contextmanager
def moving(robot: Robot) -> Generator[None, None, None]:
    """Let the joints move all the time, so that each state is another one."""
    begin = robot.node.get_clock().now().nanoseconds

    def move() -> None:
        passed_s = (robot.node.get_clock().now().nanoseconds - begin) * 1e-9
        robot.position = STATE + np.float32(0.2 * np.sin(passed_s))

    timer = robot.node.create_timer(0.005, move)
    yield
    robot.node.destroy_timer(timer)


def recalls(robot: Robot) -> dict[int, Recall]:
    """Say of each chunk's stamp what it was made of."""
    return {
        time_to_ns(info.header.stamp): recall_of(pair.value)
        for info in list(robot.infos)
        for pair in info.status[0].values
        if pair.key == KEY
    }


def made(robot: Robot) -> list[tuple[ActionChunk, ChunkInfo, Recall]]:
    found = recalls(robot)
    return [(chunk, info, found[chunk.stamp_ns]) for chunk, info, _ in pairs(robot)]


def taken_ns(recall: Recall) -> int:
    """Time of the oldest picture."""
    return min(recall.stamps_ns[0][name] for name in PICTURE)


def check_again(bundle: Path, robot: Robot, fresh: bool) -> int:
    """Compute the chunks again of what was shown and measured; return how many that were."""
    policy, count = load_policy(bundle, threads=1), 0
    sha256 = load_bundle(bundle).sha256
    for chunk, info, recall in made(robot):
        if info.bundle_sha256 != sha256 or info.guided:
            continue
        name = next(one for one in recall.stamps_ns[0] if one not in PICTURE)
        state = robot.state_stamps[recall.stamps_ns[0][name]]
        seen = Observation(PICTURE, STATE if fresh else state, recall.instruction, chunk.stamp_ns)
        context = policy.encode(seen)
        if fresh:
            context = with_state(context, policy.spec, state, chunk.stamp_ns)
        noise = np.random.default_rng((info.seed, info.chunk_id)).standard_normal(
            policy.spec.flow_shape, dtype=np.float32
        )
        again = policy.sample(context, noise, steps=info.steps)
        assert np.allclose(chunk.actions, again.actions, atol=1e-4), info.chunk_id
        count += 1
        if count == 12:  # each takes a prefix
            break
    return count


def value(robot: Robot, name: str) -> float:
    return float(robot.health[-1][2].get(name, 0)) if robot.health else 0.0


def test_chunks_come_at_the_steps_rate_with_a_fresh_state_and_contexts_at_the_prefix_rate(
    slow: Path, ros_domain: int
) -> None:
    with served(slow, ros_domain, *QUICK, "min_camera_hz:=0.5") as robot, moving(robot):
        robot.instruct(TEXT)
        robot.hears_more_chunks(40)
        found = made(robot)
        encode_s = np.median([info.encode_ns for _, info, _ in found]) * 1e-9
        stamps = [chunk.stamp_ns for chunk, _, _ in found]
        contexts = {taken_ns(recall) for _, _, recall in found}
        lasted_s = (stamps[-1] - stamps[0]) * 1e-9
        between_s = float(np.median(np.diff(stamps))) * 1e-9
        assert stamps == sorted(set(stamps)) and encode_s > 0.1
        assert between_s < 0.08 and between_s < encode_s / 2  # the period is 0.05 s
        assert 2 <= len(contexts) <= lasted_s / encode_s * 1.5 + 3 and len(contexts) < 20
        for chunk, info, recall in found:
            assert chunk.stamp_ns in robot.state_stamps
            assert chunk.stamp_ns - taken_ns(recall) >= info.encode_ns
            assert info.context_age_ns >= info.encode_ns and info.sample_ns < info.encode_ns
        robot.until(lambda: value(robot, "context_age.p50_ms") > 0)
        assert value(robot, "contexts") >= 2
        assert check_again(slow, robot, fresh=True) >= 10


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
            assert chunk.stamp_ns == min(recall.stamps_ns[0].values())
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


def test_a_bundle_that_lies_about_its_state_is_refused(tmp_path: Path, ros_domain: int) -> None:
    from policy_rig import write_policy

    bundle = slow_bundle(tmp_path / "inside", 1, in_step=False)
    write_policy(bundle, replace(load_bundle(bundle).spec, state_in_step="summary"))
    process = start_node(bundle, *QUICK)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "Traceback" not in err
    assert "another state changes the context's summary: export it again" in err


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


def test_a_prefix_that_fails_silences_the_policy_at_once_and_gives_up_for_a_reason(
    slow: Path, tmp_path: Path, ros_domain: int
) -> None:
    bad = poison(slow_bundle(tmp_path / "quick", 20), tmp_path / "bad", "poison")
    with served(bad, ros_domain, *QUICK, "max_failures:=3", "patience_s:=0.5") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(5)
        robot.instruct("poison")
        robot.hears("context is not finite")
        count = len(robot.chunks)
        robot.hears("gave up after ")
        assert len(robot.chunks) == count
        assert robot.health[-1][0] == 2 and robot.health[-1][2]["state"] == "inactive"


def test_a_new_bundle_whose_prefix_fails_gives_the_wheel_back(
    slow: Path, tmp_path: Path, ros_domain: int
) -> None:
    first = prove(slow_bundle(tmp_path / "first", 20))
    bad = prove(poison(slow_bundle(tmp_path / "second", 20, seed=1), tmp_path / "bad", "poison"))
    with served(first, ros_domain, *QUICK) as robot:
        robot.instruct("poison")
        robot.hears_more_chunks(2)
        ask_for(robot, bad)
        robot.hears(f"bundle '{bad}' refused: context is not finite")
        robot.hears_more_chunks(3)
        assert set(hashes(robot)) == {load_bundle(first).sha256}


def test_wrong_states_and_silent_cameras_are_named_though_the_context_is_good(
    slow: Path, ros_domain: int
) -> None:
    with served(slow, ros_domain, *QUICK, "max_age_s:=1.0") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(3)
        robot.position = np.full(8, np.nan, np.float32)
        robot.says("state is not finite: fr3_joint1")
        count = len(robot.chunks)
        robot.says("state is not finite: fr3_joint1")
        assert len(robot.chunks) == count
        robot.position = STATE.copy()
        robot.hears_more_chunks(3)
        robot.silent.add("wrist")
        robot.hears("camera wrist: nothing for")


def test_a_context_that_is_too_old_makes_no_chunk(slow: Path, ros_domain: int) -> None:
    with served(slow, ros_domain, *QUICK, "max_age_s:=0.1", "tolerance_s:=0.1") as robot:
        robot.instruct(TEXT)
        robot.says("at most 0.1 s is allowed (max_age_s)")
        robot.says("at most 0.1 s is allowed (max_age_s)")
        assert not robot.chunks


def test_the_node_stops_in_time_while_the_prefix_computes_for_long(
    tmp_path: Path, ros_domain: int
) -> None:
    bundle = slow_bundle(tmp_path / "long", 2500)
    process, robot = start_node(bundle, *QUICK, "max_age_s:=10.0"), Robot(ros_domain)
    try:
        robot.until(lambda: robot.health, timeout_s=3 * DEADLINE_S)
        robot.instruct(TEXT)
        begun = time.monotonic()
        robot.until(lambda: time.monotonic() > begun + 1.0)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0 and "Traceback" not in out + err
        assert time.monotonic() - asked < 6.0  # 2 s for the threads, the rest for ROS
    finally:
        process.kill()
        process.communicate()
        robot.close()


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


def test_the_field_is_read_back_and_needs_a_state_of_its_own(slow: Path) -> None:
    spec = load_bundle(slow).spec
    assert spec.state_in_step == "position"
    assert type(spec).from_json(spec.to_json()) == spec
    assert "state_in_step" not in json.loads(replace(spec, state_in_step="").to_json())
