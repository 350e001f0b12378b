"""What the policy node makes of senses that fail: a reason by name, and it goes on afterwards."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from policy_rig import PICTURE, STATE, Robot, served, write_bundle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from test_policy_node import change, poison, state

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.sync import Missing
from arfm_ros.engines import load_bundle
from arfm_ros.nodes.policy.inputs import PolicyInputs
from arfm_ros.nodes.policy.params import PolicyParams

TEXT = "lift the cube"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("models") / "random")


def recovers(robot: Robot) -> None:
    robot.hears_more_chunks(3)
    robot.hears("ok")


def test_a_joint_beyond_its_limits_is_named_and_never_an_engine_failure(
    bundle: Path, ros_domain: int
) -> None:
    with served(bundle, ros_domain, "max_failures:=2") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(2)
        robot.position[2] = 1e30
        for _ in range(2):  # for seconds: many observations
            robot.says("fr3_joint3 is 1e+30 rad, runs from -inf to inf")
        assert robot.health[-1][2]["failures_in_a_row"] == "0"
        assert robot.health[-1][2]["state"] == "active"
        robot.position = STATE.copy()
        recovers(robot)


def test_a_frozen_camera_a_smaller_picture_and_a_silent_gripper_are_named_and_forgiven(
    bundle: Path, ros_domain: int
) -> None:
    rng = np.random.default_rng(7)  # other pictures than the rig
    with served(bundle, ros_domain, "max_age_s:=0.3") as robot:
        robot.instruct(TEXT)
        robot.hears_more_chunks(5)  # a still scene before a still arm is no fault
        robot.hears("ok")
        robot.position[0] += 0.4  # read wrong, then right: no arm moved
        robot.hears_more_chunks(5)
        robot.position[0] -= 0.4
        robot.hears_more_chunks(5)
        for _ in range(30):
            robot.position[0] += 0.01
            time.sleep(0.02)
        robot.says("camera scene is frozen: the same picture for")
        count = len(robot.chunks)
        robot.says("camera wrist is frozen")
        assert len(robot.chunks) == count
        robot.picture = {
            name: rng.integers(0, 256, one.shape, dtype=np.uint8) for name, one in PICTURE.items()
        }
        recovers(robot)

        robot.picture |= {"wrist": np.zeros((10, 10, 3), np.uint8)}
        robot.says("camera wrist sends 10 x 10, needs 48 x 32 (as its first picture)")
        robot.picture |= PICTURE
        recovers(robot)

        robot.silent.add("gripper")
        robot.says("gripper/joint_states: nothing for")
        robot.silent.clear()
        recovers(robot)


def test_a_first_picture_that_is_too_small_is_refused_and_so_is_one_that_is_not_configured(
    bundle: Path, ros_domain: int
) -> None:
    with served(bundle, ros_domain, "camera_sizes:=[scene=48x32]") as robot:
        robot.picture |= {name: np.zeros((10, 10, 3), np.uint8) for name in PICTURE}
        robot.instruct(TEXT)
        robot.says("camera scene sends 10 x 10, needs 48 x 32 (camera_sizes)")
        robot.says("camera wrist sends 10 x 10, too little for the 48 x 32")
        robot.picture |= PICTURE
        recovers(robot)


def test_after_giving_up_the_node_says_how_it_goes_on_and_does(
    bundle: Path, tmp_path: Path, ros_domain: int
) -> None:
    bad = poison(bundle, tmp_path / "bad", "poison")
    with served(bad, ros_domain, "max_failures:=2", "patience_s:=0.0") as robot:
        robot.instruct("poison")
        robot.hears("gave up after 2 errors in a row")
        assert "ros2 lifecycle set /policy_node activate" in robot.health[-1][1]
        assert state(robot) == "inactive"
        robot.instruct(TEXT)
        assert change(robot, Transition.TRANSITION_ACTIVATE)
        recovers(robot)


def test_a_motion_between_two_observations_that_are_far_apart_counts(
    bundle: Path, ros_domain: int
) -> None:
    """A large network looks once a second; what came in between is long out of its window."""
    spec = load_bundle(bundle).spec
    robot, context = Robot(ros_domain), rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = Node("looker", context=context)
    inputs = PolicyInputs(node, PolicyParams().wiring(("scene", "wrist")))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    spinning = threading.Thread(target=lambda: spun(executor), daemon=True)
    spinning.start()

    def look() -> None:
        until_s = time.monotonic() + 10.0
        while isinstance(found := inputs.newest(node.get_clock().now().nanoseconds), Missing):
            assert time.monotonic() < until_s, str(found)
            time.sleep(0.05)
        inputs.observe(found, spec, TEXT)

    try:
        look()
        for _ in range(20):
            robot.position[0] += 0.01
            time.sleep(0.02)
        time.sleep(0.7)
        with pytest.raises(SpecError, match="camera scene is frozen"):
            look()
    finally:
        rclpy.shutdown(context=context)
        spinning.join(5.0)
        robot.close()


def spun(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        while True:
            executor.spin_once()
