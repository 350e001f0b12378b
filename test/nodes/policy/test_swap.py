"""Another bundle takes over while the robot moves, or is refused by name while it moves on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from client_rig import ask
from policy_rig import PATIENT, PICTURE, ROOT, STATE, Robot, write_bundle
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from test_policy_node import TEXT, poison

from arfm_ros.core.solvers.flow import integrate
from arfm_ros.core.values.data import Observation
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.nodes.ros.convert import diagnostics_to_info, trajectory_to_chunk


def prove(folder: Path, error: float = 0.0) -> Path:
    """Give a bundle the reference that an export writes; `error` makes it one of other weights."""
    policy = load_policy(folder, threads=1)
    spec, seen = policy.spec, Observation(PICTURE, STATE, TEXT, stamp_ns=0)
    noise = np.random.default_rng(0).standard_normal(spec.action_shape, dtype=np.float32)
    context, velocities = policy.encode(seen), []
    field = policy.velocity(context)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        velocities.append(field(x, t) + np.float32(error))
        return field(x, t)

    result = integrate(velocity, noise, spec.steps, keep_trace=True)
    np.savez(
        folder / "reference.npz",
        **{f"image_{name}": image[None] for name, image in PICTURE.items()},
        state=STATE[None],
        instructions=np.array([TEXT]),
        noise=noise[None],
        trace=np.stack(result.trace)[None],
        velocity=np.stack(velocities)[None],
        chunk=policy.sample(context, noise).actions[None],
    )
    return folder


@pytest.fixture
def driving(ros_domain: int, tmp_path: Path) -> Iterator[tuple[Robot, Path]]:
    """A policy node that sends chunks, the robot that hears them, and its bundle."""
    bundle = prove(write_bundle(tmp_path / "first"))
    command = [sys.executable, "-m", "arfm_ros.nodes.policy_node", "--ros-args"]
    for one in (f"bundle:={bundle}", *PATIENT):
        command += ["-p", one]
    process = subprocess.Popen(command, cwd=ROOT)
    robot = Robot(ros_domain)
    robot.instruct(TEXT)
    robot.hears_more_chunks(2)
    yield robot, bundle
    process.kill()
    process.wait()
    robot.close()


def ask_for(robot: Robot, bundle: Path) -> None:
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(bundle))
    request = SetParameters.Request(parameters=[Parameter(name="bundle", value=value)])
    client = robot.node.create_client(SetParameters, "policy_node/set_parameters")
    assert ask(client, request, robot.until).results[0].successful


def parameter(robot: Robot) -> str:
    client = robot.node.create_client(GetParameters, "policy_node/get_parameters")
    answer = ask(client, GetParameters.Request(names=["bundle"]), robot.until)
    return str(answer.values[0].string_value)


def hashes(robot: Robot) -> list[str]:
    return [diagnostics_to_info(info)[0].bundle_sha256 for info in list(robot.infos)]


def check_motion_went_on(robot: Robot) -> None:
    """Check that every chunk came before the actions of the one before had ended."""
    chunks = [trajectory_to_chunk(message) for message in list(robot.chunks)]
    assert all(b.stamp_ns < a.end_ns for a, b in zip(chunks, chunks[1:]))
    assert all(np.isfinite(chunk.actions).all() for chunk in chunks)


def test_another_bundle_takes_over_between_two_chunks(
    driving: tuple[Robot, Path], tmp_path: Path
) -> None:
    robot, first = driving
    second = prove(write_bundle(tmp_path / "second", seed=1))
    old, new = (load_bundle(folder).sha256 for folder in (first, second))
    ask_for(robot, second)
    robot.until(lambda: new in hashes(robot))
    robot.hears_more_chunks(3)
    said = hashes(robot)
    assert said == [old] * said.count(old) + [new] * said.count(new) and said.count(new) >= 3
    robot.until(lambda: robot.health and robot.health[-1][2].get("sha256") == new)
    check_motion_went_on(robot)


def test_a_bundle_that_fails_its_check_is_refused_and_motion_goes_on(
    driving: tuple[Robot, Path], tmp_path: Path
) -> None:
    robot, first = driving
    old = load_bundle(first).sha256
    unproven = write_bundle(tmp_path / "unproven", seed=1)
    different = prove(write_bundle(tmp_path / "different", seed=2), error=0.1)
    words = {
        unproven: "reference.npz is missing",
        different: "differs from its reference on this machine",
        tmp_path / "nowhere": "there is no bundle",
    }
    for bundle, reason in words.items():
        ask_for(robot, bundle)
        robot.hears(f"bundle '{bundle}' refused: ")
        assert reason in robot.health[-1][1]
    assert parameter(robot) == str(first)
    robot.hears_more_chunks(3)
    assert set(hashes(robot)) == {old}
    check_motion_went_on(robot)


def test_a_bundle_whose_first_chunk_is_not_finite_never_moves_the_robot(
    driving: tuple[Robot, Path], tmp_path: Path
) -> None:
    robot, first = driving
    robot.instruct("poison")
    robot.hears_more_chunks(1)
    bad = prove(poison(write_bundle(tmp_path / "second", seed=1), tmp_path / "bad", "poison"))
    ask_for(robot, bad)
    robot.hears(f"bundle '{bad}' refused: context is not finite")
    robot.hears_more_chunks(3)
    assert set(hashes(robot)) == {load_bundle(first).sha256}
    assert parameter(robot) == str(first)
    check_motion_went_on(robot)
