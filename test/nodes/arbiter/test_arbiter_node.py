"""The arbiter as a real ROS 2 process, with a robot that goes where it is told."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
import rclpy
from client_rig import ask
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import ns_to_time, time_to_ns, trajectory_to_chunk
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import ACTION_NAMES, fr3_limits

ROOT = Path(__file__).resolve().parents[3]
ALL = topics.Qos(reliable=True, depth=2000)
STATE_PERIOD_S = 0.005
AMPLITUDE_RAD, RATE_RAD_S = 0.15, 0.8

CHUNK_SOURCE = """
import sys
import numpy as np
import rclpy
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import ACTION_NAMES
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import chunk_to_trajectory

rclpy.init()
node = rclpy.create_node("chunk_source")
publisher = topics.publisher(node, topics.ACTION_CHUNK)
amplitude, rate = float(sys.argv[1]), float(sys.argv[2])
origin_ns = 0
home = np.append(np.asarray(fr3.HOME), 1.0)
DT_NS = 50_000_000

def publish():
    global origin_ns
    if publisher.get_subscription_count() < 2:  # the arbiter and the test
        return
    stamp_ns = node.get_clock().now().nanoseconds - 60_000_000  # as if inference took 60 ms
    origin_ns = origin_ns or stamp_ns
    t = (stamp_ns - origin_ns + np.arange(1, 17) * DT_NS) * 1e-9
    wave = amplitude * (1 - np.cos(rate * t))[:, None] * np.append(np.ones(7), 0.0)
    chunk = ActionChunk((home + wave).astype(np.float32), stamp_ns, DT_NS, ACTION_NAMES)
    publisher.publish(chunk_to_trajectory(chunk))

node.create_timer(0.1, publish)
rclpy.spin(node)
"""


class Rig:
    """The arbiter's process, and in this one a perfect robot that keeps all it hears."""

    def __init__(self, domain: int) -> None:
        self.env = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONPATH": str(ROOT)}
        self.processes: list[subprocess.Popen] = []
        self.clients: dict[topics.Service, Any] = {}
        # on a busy machine this process, which feeds the state, and the arbiter may be starved
        patience = ("state_gap_max", "state_age_max", "state_lost", "human_age_max", "stall_max")
        settings = [f"{name}:=2.0" for name in (*patience, "settle")]
        settings += ["stall_lost:=10.0", "speed:=1.0", "controller_max_torque:=40.0"]
        arguments = [word for setting in settings for word in ("-p", setting)]
        self.arbiter = self.start("-m", "arfm_ros.nodes.arbiter_node", "--ros-args", *arguments)
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: dict[str, list] = defaultdict(list)
        commands = (topics.ARBITER_COMMAND, topics.TARGET_JOINT, topics.GRIPPER_COMMAND)
        for row in (*commands, topics.AUTHORITY, topics.DIAGNOSTICS, topics.ACTION_CHUNK):
            topics.subscription(self.node, row, self.heard[row.name].append, ALL)
        self.states = topics.publisher(self.node, topics.JOINT_STATES)
        self.gripper_states = topics.publisher(self.node, topics.GRIPPER_STATES)
        self.feeding, self.next_s = True, 0.0

    def start(self, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def feed(self) -> None:
        """Publish where the robot is: at its last target, else at home."""
        self.executor.spin_once(timeout_sec=STATE_PERIOD_S)
        if not self.feeding or time.monotonic() < self.next_s:
            return
        self.next_s = time.monotonic() + STATE_PERIOD_S
        sent = self.heard["target_joint"]
        position = list(sent[-1].position) if sent else list(fr3.HOME)
        arm = JointState(name=list(fr3.JOINT_NAMES), position=position)
        gripper = JointState(name=[fr3.GRIPPER_NAME], position=[1.0])
        arm.header.stamp = gripper.header.stamp = ns_to_time(self.now_ns())
        self.gripper_states.publish(gripper)
        self.states.publish(arm)

    def until(self, condition, timeout_s: float = 60.0):
        end = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < end, "it did not happen in time"
            self.feed()
        return value

    def call(self, row: topics.Service, request):
        if row not in self.clients:
            self.clients[row] = topics.client(self.node, row)
        return ask(self.clients[row], request, self.until)

    def engage(self) -> None:
        self.until(lambda: self.call(topics.ARBITER_ENGAGE, SetBool.Request(data=True)).success)
        self.until(lambda: self.heard["target_joint"])

    def authority(self, wanted: str) -> None:
        self.until(lambda: self.heard["arbiter/authority"][-1:] and self.said() == wanted)

    def said(self) -> str:
        return self.heard["arbiter/authority"][-1].data

    def health(self, message: str, **wanted: str) -> dict[str, str]:
        """Wait for a diagnosis that contains `message` and has the `wanted` values."""

        def found():
            for status in (array.status[0] for array in self.heard["/diagnostics"]):
                values = {pair.key: pair.value for pair in status.values}
                if message in status.message and wanted.items() <= values.items():
                    return {"level": status.level} | values
            return None

        return self.until(found)

    def commands(self) -> tuple[np.ndarray, np.ndarray]:
        sent = self.heard["arbiter/command"]
        stamps = np.array([time_to_ns(m.header.stamp) for m in sent])
        return stamps, np.array([m.position for m in sent])

    def close(self) -> None:
        self.node.destroy_node()
        self.context.try_shutdown()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)


@pytest.fixture
def rig(ros_domain):
    rig = Rig(ros_domain)
    yield rig
    rig.close()
    assert rig.arbiter.returncode == 0


def wave(stamps_ns: np.ndarray, origin_ns: int) -> np.ndarray:
    t = (stamps_ns - origin_ns) * 1e-9
    return np.asarray(fr3.HOME) + AMPLITUDE_RAD * (1 - np.cos(RATE_RAD_S * t))[:, None]


def check_steps(commands: np.ndarray) -> None:
    limits = fr3_limits()
    assert np.isfinite(commands).all()
    assert (np.abs(np.diff(commands, axis=0)) <= limits.velocity * 0.01 + 1e-9).all()


def test_chunks_become_timely_commands_and_a_killed_source_settles_at_the_chunks_end(rig):
    rig.engage()
    source = rig.start("-c", CHUNK_SOURCE, str(AMPLITUDE_RAD), str(RATE_RAD_S))
    rig.authority("policy")
    sent = rig.heard["arbiter/command"]
    begin = len(sent)
    rig.until(lambda: len(sent) >= begin + 200)

    stamps, commands = rig.commands()
    origin_ns = time_to_ns(rig.heard["policy/action_chunk"][0].header.stamp)
    late = commands[begin + 50 :, :7]  # after the blend from standing still
    error = np.abs(late - wave(stamps[begin + 50 :], origin_ns)).max(axis=1)
    assert np.quantile(error, 0.8) < 0.01  # a starved source may leave gaps
    assert 75 <= 1e9 / np.diff(stamps[begin:]).mean() <= 101
    assert np.median(np.diff(stamps[begin:])) == pytest.approx(10e6, rel=0.1)

    source.kill()
    source.wait(timeout=20)
    rig.authority("hold")
    last = trajectory_to_chunk(rig.heard["policy/action_chunk"][-1]).actions[-1]
    rig.until(lambda: np.abs(sent[-1].position - last).max() < 2e-3)
    _, commands = rig.commands()
    check_steps(commands)
    assert (np.abs(commands[:, 3]) > 1.0).all()  # never near zero
    assert "settle" in [m.data for m in rig.heard["arbiter/authority"]]
    target = rig.heard["target_joint"][-1]
    assert len(target.velocity) == len(target.position) == 7
    values = rig.health("chunk ended", authority="hold")  # it says so once a second
    latency_ms, rate_hz = float(values["sensor_to_command.p50_ms"]), float(values["tick_rate_hz"])
    assert latency_ms >= 60.0 and rate_hz > 75
    # the gripper never moved: only refreshed
    assert len(rig.heard["gripper/gripper_position_controller/commands"]) < len(commands) / 20


def test_a_second_publisher_is_named_and_holds_until_it_is_gone_and_a_reset(rig):
    rig.engage()
    intruder = rclpy.create_node("other_driver", context=rig.context)
    publisher = topics.publisher(intruder, topics.TARGET_JOINT)
    values = rig.health("/target_joint has another publisher: /other_driver")
    assert values["level"] == b"\x02" and values["authority"] == "hold"
    before = rig.commands()[1][-1]
    refused = rig.call(topics.ARBITER_ENGAGE, SetBool.Request(data=True))
    assert not refused.success and "other_driver" in refused.message
    intruder.destroy_publisher(publisher)
    intruder.destroy_node()
    rig.until(lambda: rig.node.count_publishers("target_joint") == 1)
    engaged = SetBool.Request(data=True)
    rig.until(lambda: rig.call(topics.ARBITER_ENGAGE, engaged).success)
    np.testing.assert_allclose(rig.commands()[1][-1], before, atol=1e-6)
    rig.heard["/diagnostics"].clear()
    assert rig.health("waiting for a chunk")["level"] == b"\x00"


def test_a_human_takes_over_and_going_idle_comes_to_rest_first(rig):
    rig.engage()
    engaged = topics.publisher(rig.node, topics.TELEOP_ENGAGED)
    target = topics.publisher(rig.node, topics.TELEOP_TARGET)
    rig.until(lambda: engaged.get_subscription_count() and target.get_subscription_count())
    engaged.publish(Bool(data=True))
    rig.authority("human")
    goal = np.asarray(fr3.HOME) + 0.3
    target.publish(JointState(name=list(fr3.JOINT_NAMES), position=goal.tolist()))
    sent = rig.heard["arbiter/command"]
    rig.until(lambda: np.abs(sent[-1].velocity).max() > 0.1)

    assert rig.call(topics.ARBITER_ENGAGE, SetBool.Request(data=False)).success
    rig.authority("idle")
    rig.until(lambda: not np.any(rig.heard["target_joint"][-1].velocity))
    _, commands = rig.commands()
    check_steps(commands)
    assert (commands[-1, :7] < goal).all() and (commands[-1, :7] > np.asarray(fr3.HOME)).all()
    assert commands[-1, 7] == 1.0  # a device without a gripper leaves it as it is


def test_faults_hold_where_the_arm_is_and_the_e_stop_needs_a_reset(rig):
    rig.engage()
    rig.feeding = False
    rig.health("joint state is stale")
    np.testing.assert_allclose(rig.commands()[1][-1, :7], fr3.HOME, atol=1e-6)
    rig.feeding = True
    assert rig.call(topics.ARBITER_RESET, Trigger.Request()).success

    estop = topics.publisher(rig.node, topics.ESTOP)
    estop.publish(Bool(data=True))
    rig.authority("estop")
    assert not rig.call(topics.ARBITER_RESET, Trigger.Request()).success
    assert not rig.call(topics.ARBITER_ENGAGE, SetBool.Request(data=True)).success
    estop.publish(Bool(data=False))
    rig.until(lambda: rig.call(topics.ARBITER_RESET, Trigger.Request()).success)
    rig.authority("hold")

    assert rig.call(topics.ARBITER_ENGAGE, SetBool.Request(data=False)).success
    idle_ns = rig.now_ns()
    rig.authority("idle")
    rig.heard["/diagnostics"].clear()
    rig.health("not engaged")
    sent = [time_to_ns(message.header.stamp) for message in rig.heard["target_joint"]]
    assert max(sent) <= idle_ns  # nothing is published
    assert list(rig.heard["arbiter/command"][-1].name) == list(ACTION_NAMES)


def test_a_bad_parameter_ends_the_node_with_one_line(ros_domain):
    command = [sys.executable, "-m", "arfm_ros.nodes.arbiter_node", "--ros-args"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*command, "-p", "controller:=moveit"], env=env, capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "controller of group 'arm' is 'moveit', needs one of crisp_joint" in run.stderr
