"""What `fast_slow` does where something fails, in either of the two threads."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fast_slow_rig import QUICK, ROUNDS, TEXT
from policy_rig import DEADLINE_S, PICTURE, STATE, Robot, poison, served, start_node, write_policy
from slow_rig import slow_bundle
from test_swap import ask_for, hashes, prove

from arfm_ros.engines import load_bundle


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_bundle(tmp_path_factory.mktemp("models") / "slow", ROUNDS)


def test_a_bundle_that_lies_about_its_state_is_refused(tmp_path: Path, ros_domain: int) -> None:
    bundle = slow_bundle(tmp_path / "inside", 1, in_step=False)
    write_policy(bundle, replace(load_bundle(bundle).spec, state_in_step="summary"))
    process = start_node(bundle, *QUICK)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "Traceback" not in err
    assert "another state changes the context's summary: export it again" in err


def test_a_prefix_that_fails_silences_the_policy_at_once_and_gives_up_for_a_reason(
    tmp_path: Path, ros_domain: int
) -> None:
    bundle = slow_bundle(tmp_path / "quick", 20)
    with served(bundle, ros_domain, *QUICK, "max_failures:=3", "patience_s:=4.0") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(5)
        black = PICTURE | {"scene": np.zeros_like(PICTURE["scene"])}
        robot.picture = black
        robot.hears("context is not finite")
        count = len(robot.chunks)  # though the last good context is younger than max_age_s
        robot.hears("context is not finite")
        assert len(robot.chunks) == count and robot.health[-1][0] == 2
        robot.picture = dict(PICTURE)
        robot.hears_more_chunks(5)
        robot.picture = black
        robot.hears("gave up after ")
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
        robot.picture = {name: np.repeat(one, 2, axis=0) for name, one in PICTURE.items()}
        robot.says("camera scene sends 48 x 64, needs 48 x 32")
        count = len(robot.chunks)
        robot.says("camera scene sends 48 x 64, needs 48 x 32")
        assert len(robot.chunks) == count
        robot.picture = dict(PICTURE)
        robot.hears_more_chunks(3)
        robot.silent.add("wrist")
        robot.hears("camera wrist: nothing for")


def test_a_context_that_is_too_old_makes_no_chunk(tmp_path: Path, ros_domain: int) -> None:
    slower = slow_bundle(tmp_path / "slower", 10 * ROUNDS)  # than 0.1 s on any machine
    with served(slower, ros_domain, *QUICK, "max_age_s:=0.1", "tolerance_s:=0.1") as robot:
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


def test_the_field_is_read_back_and_needs_a_state_of_its_own(slow: Path) -> None:
    spec = load_bundle(slow).spec
    assert spec.state_in_step == "position"
    assert type(spec).from_json(spec.to_json()) == spec
    assert "state_in_step" not in json.loads(replace(spec, state_in_step="").to_json())
