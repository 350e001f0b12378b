"""A recorder as a process, publishers for it, and a node that commands it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from client_rig import Client
from std_srvs.srv import Trigger

from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.nodes.ros import topics

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 150

# Waits for its readers, then publishes both cameras at 60 Hz and joint states at 300 Hz, says
# so on stdout, and stays, so that what it sent can still be delivered.
PUBLISH = """
import array, os, sys
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
frames, offer = int(sys.argv[1]), sys.argv[2]
rclpy.init()
node = rclpy.create_node("publisher")
offered = QoSProfile(depth=10, reliability=ReliabilityPolicy[offer])
images = [
    node.create_publisher(Image, f"{c}/image_raw", offered)
    for c in ("scene", "wrist")
]
joints = node.create_publisher(JointState, "joint_states", QoSProfile(depth=10))
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
node.create_publisher(String, "instruction", latched).publish(String(data="lift the cube"))
image = Image(height=240, width=320, step=960, encoding="rgb8")
image.data = array.array("B", os.urandom(230400))
sent = 0
def tick():
    global sent
    if sent == 0 and any(p.get_subscription_count() < 1 for p in (*images, joints)):
        return
    if sent == frames:
        print("sent", flush=True)
    sent += 1
    if sent > frames:
        return
    for publisher in images:
        image.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(image)
    for _ in range(5):
        message = JointState(name=["a"], position=[1.0])
        message.header.stamp = node.get_clock().now().to_msg()
        joints.publish(message)
node.create_timer(1 / 60, tick)
rclpy.spin(node)
"""


# Joint states at 500 Hz, for ever.
# Serialized once: also a starved process sends far more in a second than a reader keeps.
JOINTS = """
import struct
import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node("joints")
publisher = node.create_publisher(JointState, "joint_states", 10)
message = bytearray(serialize_message(JointState(name=["a"], position=[1.0])))
def tick():
    for _ in range(10):
        now_ns = node.get_clock().now().nanoseconds
        struct.pack_into("<iI", message, 4, *divmod(now_ns, 10**9))
        publisher.publish(bytes(message))
node.create_timer(1 / 200, tick)
rclpy.spin(node)
"""


class RecorderClient(Client):
    """A node in this process that commands the recorder and hears its state."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.state: dict[str, str] = {}
        self.message = ""
        topics.subscription(self.node, topics.RECORDER_STATE, self._on_state)

    def _on_state(self, message) -> None:
        self.message = message.status[0].message
        self.state = {pair.key: pair.value for pair in message.status[0].values}

    def last_words(self) -> str:
        return f"the recorder says {self.state}"

    def call(self, row: topics.Service, request=None):
        return self.ask(topics.client(self.node, row), request or Trigger.Request())


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Give a function that starts a process; ends those processes afterwards."""
    started: list[subprocess.Popen] = []

    def begin(*words: str, inside: tuple[str, ...] = ()) -> subprocess.Popen:
        process = subprocess.Popen(
            [*inside, sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def client(ros_domain: int) -> Iterator[RecorderClient]:
    one = RecorderClient(ros_domain)
    yield one
    one.close()


def recorder(start, out: Path, *parameters: str, inside: tuple[str, ...] = ()) -> subprocess.Popen:
    usual = (f"out:={out}", "images:=raw", "min_free_mb:=1", "stop_free_mb:=0")
    words = [word for p in (*usual, *parameters) for word in ("-p", p)]
    return start("-m", "arfm_ros.nodes.recorder_node", "--ros-args", *words, inside=inside)


def wait_until_sent(publisher: subprocess.Popen) -> None:
    # The middleware may print warnings of its own before.
    assert any(line == "sent\n" for line in publisher.stdout), publisher.stderr.read()


def counts(folder: Path) -> Counter:
    return Counter(record.topic for record in EpisodeReader(folder).records())
