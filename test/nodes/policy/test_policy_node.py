"""The policy node as a real process: what it says on good input, why it is silent on bad."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from client_rig import ask
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from policy_rig import (
    DEADLINE_S,
    NAMES,
    PICTURE,
    STATE,
    Robot,
    pairs,
    poison,
    start_node,
    write_bundle,
    write_policy,
)

from arfm_ros.core.values.data import ChunkInfo, Observation
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.nodes.ros.convert import diagnostics_to_info, trajectory_to_chunk

ROOT = Path(__file__).resolve().parents[3]
TEXT = "lift the cube"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture
def start(ros_domain: int) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def run(bundle: Path, *parameters: str) -> subprocess.Popen[str]:
        running.append(start_node(bundle, *parameters))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def robot(ros_domain: int) -> Iterator[Robot]:
    robot = Robot(ros_domain)
    yield robot
    robot.close()


def test_chunks_follow_the_sensors_and_stop_with_them(
    bundle: Path, start: Start, robot: Robot
) -> None:
    process = start(bundle, "seed:=7")
    robot.hears("no instruction")
    assert not robot.chunks
    robot.instruct(TEXT)
    robot.hears_more_chunks(4)
    check_stamps(robot)
    check_repeatable(bundle, robot)

    robot.silent.add("wrist")
    robot.hears("camera wrist: nothing for")
    count = len(robot.chunks)
    robot.hears("camera wrist: nothing for")
    assert len(robot.chunks) == count
    robot.silent.clear()
    robot.hears_more_chunks(2)

    robot.position[2] = np.nan
    robot.hears("state is not finite: fr3_joint3")
    robot.position = STATE.copy()
    robot.hears_more_chunks(2)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0 and "Traceback" not in out + err


def test_an_instruction_that_means_nothing_to_the_policy_is_told_and_not_obeyed(
    bundle: Path, tmp_path: Path, start: Start, robot: Robot
) -> None:
    taught = tmp_path / "taught"
    shutil.copytree(bundle, taught)
    write_policy(taught, replace(load_bundle(bundle).spec, phrases=(TEXT, "reach the ball")))
    start(taught)
    robot.instruct(TEXT)
    robot.hears_more_chunks(1)
    robot.instruct("open the drawer")
    robot.hears("'open the drawer' means nothing to the policy: it does not know drawer, open")
    count = len(robot.chunks)
    robot.hears("say 'lift the cube', 'reach the ball'")
    assert len(robot.chunks) == count
    robot.instruct("reach the ball, please")
    robot.hears_more_chunks(2)


def check_stamps(robot: Robot) -> None:
    """Check that every chunk has the stamp of an input that was published, in order."""
    found = pairs(robot)
    stamps = [chunk.stamp_ns for chunk, _, _ in found]
    assert stamps == sorted(set(stamps))
    assert all(stamp in robot.image_stamps or stamp in robot.state_stamps for stamp in stamps)
    for chunk, _, stages in found:
        assert chunk.names == NAMES and chunk.source == "policy" and chunk.dt_ns == 50_000_000
        assert {"sensor_to_received", "decode", "encode", "sample"} <= stages.keys()


def check_repeatable(bundle: Path, robot: Robot) -> None:
    """Compute chunks again from what was seen, the seed and the chunk's number."""
    policy, sha256 = load_policy(bundle, threads=1), load_bundle(bundle).sha256
    for chunk, info, _ in pairs(robot):
        assert (info.seed, info.steps, info.bundle_sha256) == (7, 3, sha256)
        noise = np.random.default_rng((7, info.chunk_id)).standard_normal(
            policy.spec.action_shape, dtype=np.float32
        )
        seen = Observation(PICTURE, STATE, TEXT, stamp_ns=0)
        again = policy.sample(policy.encode(seen), noise)
        assert np.allclose(chunk.actions, again.actions, atol=1e-5)


def test_a_poisoned_network_is_silenced_and_gives_up_for_a_reason(
    bundle: Path, tmp_path: Path, start: Start, robot: Robot
) -> None:
    start(poison(bundle, tmp_path / "poisoned", "poison"), "max_failures:=3", "patience_s:=0.0")
    robot.instruct(TEXT)
    robot.hears_more_chunks(1)
    robot.instruct("poison")
    robot.hears("gave up after 3 errors in a row: ")
    robot.hears("gave up after 3 errors in a row: ")  # latched
    assert robot.health[-1][0] == 2 and robot.health[-1][2]["state"] == "inactive"
    assert all(np.isfinite(trajectory_to_chunk(chunk).actions).all() for chunk in robot.chunks)


def test_lifecycle_services_drive_it_and_survive_wrong_requests(
    bundle: Path, start: Start, robot: Robot
) -> None:
    start(bundle, "autostart:=false", f"default_instruction:='{TEXT}'")
    assert state(robot) == "unconfigured"
    assert not change(robot, Transition.TRANSITION_ACTIVATE)
    assert change(robot, Transition.TRANSITION_CONFIGURE) and state(robot) == "inactive"
    assert not robot.chunks
    for _ in range(2):
        assert change(robot, Transition.TRANSITION_ACTIVATE) and state(robot) == "active"
        robot.hears_more_chunks(1)
        assert change(robot, Transition.TRANSITION_DEACTIVATE) and state(robot) == "inactive"
    count = len(robot.chunks)
    robot.hears("not active")
    assert len(robot.chunks) == count
    assert change(robot, Transition.TRANSITION_CLEANUP) and state(robot) == "unconfigured"


def call(robot: Robot, kind: type, name: str, request: object) -> object:
    client = robot.node.create_client(kind, f"policy_node/{name}")
    return ask(client, request, robot.until)


def change(robot: Robot, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(call(robot, ChangeState, "change_state", request).success)  # type: ignore


def state(robot: Robot) -> str:
    return str(call(robot, GetState, "get_state", GetState.Request()).current_state.label)  # type: ignore


@pytest.mark.parametrize(
    "parameter,message",
    [
        ("cameras:=[scene,hand]", "cameras wrist missing, robot has scene, hand"),
        ("dt_s:=0.02", "dt is 50 ms, robot runs at 20 ms"),
    ],
)
def test_a_robot_that_does_not_fit_is_refused_by_name(
    bundle: Path, start: Start, parameter: str, message: str
) -> None:
    process = start(bundle, parameter)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and message in err and "Traceback" not in err


def test_a_bundle_that_was_changed_is_refused_by_file(
    bundle: Path, tmp_path: Path, start: Start
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(bundle, folder)
    (folder / "prefix.onnx").write_bytes(b"something else")
    process = start(folder)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "Traceback" not in err
    assert "prefix.onnx was changed or is incomplete" in err


def test_a_bundle_that_was_not_checked_as_it_is_now_is_refused_with_the_command(
    bundle: Path, tmp_path: Path, start: Start
) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "edited"))
    write_policy(folder, replace(load_bundle(bundle).spec, steps=4))
    old = json.loads((bundle / "parity.json").read_text())
    (folder / "parity.json").write_text(json.dumps(old))
    process = start(folder)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1 and "Traceback" not in err
    assert "is of other weights" in err and f"run `arfm check {folder}`" in err


def test_chunks_follow_on_from_the_one_in_force_and_from_none_while_a_human_drives(
    start: Start, robot: Robot, tmp_path: Path
) -> None:
    start(write_bundle(tmp_path / "guided", guided=True))
    robot.instruct(TEXT)

    def hears_one(guided: bool) -> ChunkInfo:
        since = len(robot.infos)

        def found() -> list[ChunkInfo]:
            infos = [diagnostics_to_info(message)[0] for message in robot.infos[since:]]
            return [info for info in infos if info.guided is guided]

        return robot.until(found)[0]

    assert hears_one(guided=True).prefix_length >= 1
    robot.hands_over_to("human")
    assert hears_one(guided=False).prefix_length == 0
    robot.hands_over_to("policy")
    assert hears_one(guided=True).chunk_id > 0


def counted(robot: Robot, name: str) -> int:
    """Read a counter of the policy's last diagnosis."""
    return int(robot.health[-1][2].get(name, 0)) if robot.health else 0


def test_a_takeover_and_a_new_instruction_cancel_the_chunk_being_computed(
    bundle: Path, start: Start, robot: Robot
) -> None:
    start(bundle, "steps:=1000", "max_age_s:=5.0")  # long enough to be met in the middle
    robot.instruct(TEXT)
    robot.hears_more_chunks(1)

    def cancelled() -> int:
        return counted(robot, "cancelled")

    words, rng = count(), np.random.default_rng(0)

    def at_any_moment() -> int:
        """A message wakes us, a chunk's above all, and then no chunk is being computed."""
        time.sleep(rng.uniform(0.0, 0.06))
        return next(words)

    def gave_up(before: int) -> bool:
        robot.instruct(f"{TEXT} {at_any_moment()}")
        return cancelled() > before

    robot.until(lambda: gave_up(0))

    def interrupted(before: int) -> bool:
        robot.hands_over_to("human" if at_any_moment() % 2 else "policy")
        return cancelled() > before

    before = cancelled()
    robot.until(lambda: interrupted(before))
    robot.hands_over_to("policy")
    robot.hears_more_chunks(2)


def test_a_still_scene_shares_a_context_when_asked_to(
    bundle: Path, start: Start, robot: Robot
) -> None:
    start(bundle, "reuse:=1.0")
    robot.instruct(TEXT)
    robot.hears_more_chunks(3)
    robot.until(lambda: counted(robot, "contexts_reused") >= 2)
    actions = [trajectory_to_chunk(message).actions for message in robot.chunks[:3]]
    assert np.isfinite(actions).all()
