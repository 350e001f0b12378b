"""A launch-wide Ctrl-C reaches the simulated robot too: it follows until nobody commands it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from sensor_msgs.msg import JointState  # noqa: E402
from sim_rig import SimClient, start  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402
from arfm_ros.robots.fr3 import facts as fr3  # noqa: E402

PERIOD_S = 0.02


class Commander(SimClient):
    """Commands the arm to where it is, at 50 Hz, until told otherwise."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.listen(topics.JOINT_STATES)
        self.commanding = True
        self.target = topics.publisher(self.node, topics.TARGET_JOINT)
        self.node.create_timer(PERIOD_S, self._command)

    def _command(self) -> None:
        if self.commanding and self.heard["joint_states"]:
            position = list(fr3.HOME)
            self.target.publish(JointState(position=position, velocity=[0.0] * len(position)))

    def states_since(self, begin_s: float) -> int:
        return sum(
            one.header.stamp.sec + 1e-9 * one.header.stamp.nanosec > begin_s
            for one in self.heard["joint_states"]
        )


@pytest.fixture
def commander(ros_domain: int) -> Iterator[Commander]:
    made = Commander(ros_domain)
    yield made
    made.close()


@pytest.fixture
def sim(commander: Commander, ros_domain: int) -> Iterator[subprocess.Popen[str]]:
    process = start(ros_domain)
    yield process
    process.kill()
    process.communicate()


def test_the_robot_follows_after_a_signal_until_the_commands_end(
    commander: Commander, sim: subprocess.Popen[str]
) -> None:
    commander.until(lambda: commander.heard["joint_states"], timeout_s=60.0)
    commander.until(lambda: commander.target.get_subscription_count())
    commander.until(lambda: len(commander.heard["joint_states"]) > 100)
    sim.send_signal(signal.SIGINT)
    told_s = time.time()
    commander.until(lambda: commander.states_since(told_s + 1.5), timeout_s=10.0)
    assert sim.poll() is None
    commander.commanding = False
    commander.until(lambda: sim.poll() is not None, timeout_s=10.0)
    assert sim.returncode == 0, sim.communicate()


def test_a_commander_that_never_ends_does_not_keep_the_robot_for_ever(
    commander: Commander, sim: subprocess.Popen[str]
) -> None:
    commander.until(lambda: len(commander.heard["joint_states"]) > 100, timeout_s=60.0)
    sim.send_signal(signal.SIGTERM)
    commander.until(lambda: sim.poll() is not None, timeout_s=10.0)
    assert sim.returncode == 0, sim.communicate()
