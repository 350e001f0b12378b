"""Two robots on one DDS domain: the one in /left and the one in /right do not hear each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from client_rig import Client  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402
from arfm_ros.robots.fr3 import facts as fr3  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("left", "right")
# four processes on a busy machine: what is late there is no fault here
PATIENT = {"state_gap_max": 2.0, "state_age_max": 2.0, "human_age_max": 2.0}
PATIENT |= {"state_lost": 10.0, "state_frozen": 10.0, "follow_time": 10.0}
PATIENT |= {"stall_max": 2.0, "stall_lost": 10.0, "tracking_rad": 3.0}
SLOW = ("cameras:=['']", "joint_rate_hz:=50.0", "pose_rate_hz:=20.0")
NODES = {
    "sim_node": [word for given in SLOW for word in ("-p", given)],
    "arbiter_node": [word for name in PATIENT for word in ("-p", f"{name}:={PATIENT[name]}")],
}
# what ROS itself shares, and what REP 107 wants in one place
SHARED = {"/diagnostics", "/rosout", "/parameter_events", "/clock"}
STARTED_S = 90.0
MOVED_RAD = 0.03


class Pair(Client):
    """Hears both robots."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.joints: dict[str, list[Any]] = defaultdict(list)
        self.authority: dict[str, str] = {}
        self.health: dict[str, dict[str, str]] = {}
        for side in SIDES:
            self._listen(side)
        topics.subscription(self.node, topics.DIAGNOSTICS, self._on_health)

    def _listen(self, side: str) -> None:
        def joints(message: JointState) -> None:
            if set(fr3.JOINT_NAMES) <= set(message.name):
                self.joints[side].append(message)

        def authority(message: String) -> None:
            self.authority[side] = message.data

        states = topics.JOINT_STATES.at(f"/{side}/joint_states")
        topics.subscription(self.node, states, joints)
        topics.subscription(
            self.node, topics.AUTHORITY.at(f"/{side}/arbiter/authority"), authority
        )

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.health[status.name] = values | {"message": status.message}

    def call(self, name: str, value: bool) -> Any:
        client = self.node.create_client(SetBool, name)
        return self.ask(client, SetBool.Request(data=value))

    def engage(self, side: str) -> None:
        assert self.call(f"/{side}/arbiter/engage", True).success
        self.until(lambda: self.authority.get(side) not in {None, "idle"})

    def position(self, side: str) -> float:
        message = self.joints[side][-1]
        return float(message.position[list(message.name).index(fr3.JOINT_NAMES[0])])

    def last_words(self) -> str:
        return f"authority {self.authority}, health {self.health}"


@pytest.fixture
def robots(ros_domain: int) -> Iterator[None]:
    """Start a simulated FR3 and its arbiter in each of two namespaces."""
    env = {**os.environ, "ROS_DOMAIN_ID": str(ros_domain), "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", f"arfm_ros.nodes.{node}", "--ros-args"),
                *("-r", f"__ns:=/{side}", *words),
            ],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for side in SIDES
        for node, words in NODES.items()
    ]
    yield
    for process in started:
        process.kill()
    for process in started:
        process.wait(timeout=20.0)


@pytest.fixture
def pair(robots: None, ros_domain: int) -> Iterator[Pair]:
    """Return a client once all four nodes tell of themselves."""
    client = Pair(ros_domain)
    names = {f"{side}/{node}: health" for side in SIDES for node in NODES}
    client.until(lambda: names <= set(client.health) and len(client.joints) == 2, STARTED_S)
    yield client
    client.close()


def ends(pair: Pair, topic: str) -> tuple[set[str], set[str]]:
    """Return the namespaces of a topic's publishers and of its readers but this one."""
    node = pair.node
    publishers = {one.node_namespace for one in node.get_publishers_info_by_topic(topic)}
    readers = {one.node_namespace for one in node.get_subscriptions_info_by_topic(topic)}
    return publishers - {"/"}, readers - {"/"}


def test_two_robots_on_one_domain_are_two_robots(pair: Pair) -> None:
    for side in SIDES:
        pair.engage(side)
    assert set(pair.authority.values()) == {"hold"}

    # no topic of the one has an end in the other, and nothing else is shared
    for name, _ in pair.node.get_topic_names_and_types():
        if name not in SHARED:
            side = name.split("/")[1]
            assert side in SIDES, f"{name} is in no namespace"
            for found in ends(pair, name):
                assert found <= {f"/{side}"}, name
    assert ends(pair, "/left/robot_description")[1] == {"/left"}
    assert ends(pair, "/left/target_joint") == ({"/left"}, {"/left"})

    # a human moves the right one
    before = {side: pair.position(side) for side in SIDES}
    human = topics.publisher(pair.node, topics.TELEOP_ENGAGED.at("/right/teleop/engaged"))
    target = topics.publisher(pair.node, topics.TELEOP_TARGET.at("/right/teleop/target_joint"))

    def drive() -> None:
        human.publish(Bool(data=True))
        goal = [before["right"] + 10 * MOVED_RAD]
        target.publish(JointState(name=[fr3.JOINT_NAMES[0]], position=goal))

    timer = pair.node.create_timer(0.03, drive)
    pair.until(lambda: abs(pair.position("right") - before["right"]) > MOVED_RAD, 60.0)
    assert pair.authority["left"] == "hold"
    assert abs(pair.position("left") - before["left"]) < 1e-3

    # the e-stop of the left one, as a service and as a topic, is its own
    assert pair.call("/left/estop", True).success
    pair.until(lambda: pair.authority["left"] == "estop", 60.0)
    far, seen = abs(pair.position("right") - before["right"]), len(pair.joints["right"])
    pair.until(lambda: abs(pair.position("right") - before["right"]) > far + MOVED_RAD / 2, 60.0)
    assert len(pair.joints["right"]) > seen and pair.authority["right"] in {"human", "hold"}
    pair.node.destroy_timer(timer)

    # both tell of themselves on the one /diagnostics
    pair.health.clear()
    sides = [f"{side}/arbiter_node: health" for side in SIDES]
    pair.until(lambda: set(sides) <= set(pair.health))
    left, right = (pair.health[name] for name in sides)
    assert left["authority"] == "estop" != right["authority"]
    assert "stop" in left["message"] and "stop" not in right["message"]
