"""The recorder as a real ROS 2 process: every frame is in the bag, and every end leaves one."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from client_rig import Client
from std_srvs.srv import SetBool, Trigger

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.audit import audit
from arfm_ros.episodes.edit.recover import recover
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.durable import partial_of
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
JOINTS = """
import rclpy
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node("joints")
publisher = node.create_publisher(JointState, "joint_states", 10)
def tick():
    message = JointState(name=["a"], position=[1.0])
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
node.create_timer(1 / 500, tick)
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


def test_every_frame_between_start_and_stop_is_in_the_bag(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    first = client.call(topics.RECORDER_START)
    assert first.success
    again = client.call(topics.RECORDER_START)
    assert not again.success
    assert "already recording" in again.message

    publisher = start("-c", PUBLISH, str(FRAMES), "RELIABLE")
    wait_until_sent(publisher)
    assert client.call(topics.RECORDER_LABEL, SetBool.Request(data=True)).success
    stopped = client.call(topics.RECORDER_STOP)
    assert (stopped.success, stopped.message) == (True, first.message)

    found = counts(Path(first.message))
    assert found["/scene/image_raw"] == found["/wrist/image_raw"] == FRAMES
    assert found["/joint_states"] == 5 * FRAMES
    assert found["/instruction"] >= 1
    report = audit(Path(first.message))
    assert report.damage == ()
    assert report.topics["/scene/image_raw"].lost == 0
    assert report.label["success"] is True

    client.until(lambda: client.state.get("stop_ns", "0") != "0")
    for camera in ("scene", "wrist"):
        assert client.state[f"{camera}/image_raw"] == str(FRAMES)
        assert client.state[f"{camera}/image_raw.published"] == str(FRAMES)
        assert client.state[f"{camera}/image_raw.received"] == str(FRAMES)
    assert client.state["folder"] == first.message

    # The next episode begins with what was latched before it, and is not labelled by the last.
    second = client.call(topics.RECORDER_START)
    assert second.message != first.message
    client.call(topics.RECORDER_STOP)
    assert counts(Path(second.message))["/instruction"] == 1
    assert EpisodeReader(Path(second.message)).labels() == []
    known = manifest.load(Path(second.message))
    assert (known.state, known.info["instruction"]) == ("saved", "lift the cube")
    assert len(known.info["robot_sha256"]) == 64
    refused = client.call(topics.RECORDER_LABEL, SetBool.Request(data=True))
    assert "no episode" in refused.message

    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=10) == 0


def test_what_a_killed_recorder_had_answered_is_recovered(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    folder = Path(client.call(topics.RECORDER_START).message)
    publisher = start("-c", PUBLISH, str(FRAMES), "RELIABLE")
    wait_until_sent(publisher)
    assert client.call(topics.RECORDER_LABEL, SetBool.Request(data=True)).success
    node.kill()
    node.wait(timeout=10)
    with pytest.raises(EpisodeError, match="never finished"):
        EpisodeReader(folder)
    assert recover(partial_of(folder)).folder == folder
    assert counts(folder)["/scene/image_raw"] > FRAMES - 60  # a busy machine's queue is lost
    assert EpisodeReader(folder).label()["success"] is True


def test_an_episode_says_what_it_is_from_its_first_second(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path, "operator:=eve")
    folder = Path(client.call(topics.RECORDER_START).message)
    info = EpisodeReader(partial_of(folder)).info()  # answered, so on the disk
    assert (info["operator"], info["robot"]) == ("eve", "fr3")
    assert set(info["versions"]) == {"arfm_ros", "python", "platform"}

    def asked() -> bool:
        told = EpisodeReader(partial_of(folder)).info()
        return told.get("parameters:/recorder_node", {}).get("operator") == "eve"

    client.until(asked)
    assert client.call(topics.RECORDER_DISCARD).message == str(folder)
    assert manifest.load(folder).state == "discarded"
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=10) == 0


def test_what_is_lost_while_the_recorder_does_not_run_is_told_within_a_second(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    folder = Path(client.call(topics.RECORDER_START).message)
    start("-c", JOINTS)
    client.until(lambda: int(client.state.get("joint_states", "0")) > 300)
    node.send_signal(signal.SIGSTOP)
    time.sleep(2.0)  # 1000 joint states: more than a reader keeps
    node.send_signal(signal.SIGCONT)
    since = time.monotonic()
    client.until(lambda: "did not run" in client.message and "lost" in client.message)
    assert time.monotonic() - since < 2.0  # one of it for a machine that is busy with tests
    client.call(topics.RECORDER_STOP)
    label = EpisodeReader(folder).label()
    assert label["lost"]["/joint_states"] > 100 and label["held_up_s"] > 1.9
    known = manifest.load(folder)
    assert known.verdict == "incomplete"
    row = known.topics["/joint_states"]
    assert row["dropped"] >= label["lost"]["/joint_states"]
    assert row["published"] == row["received"] + row["dropped"]


def test_a_disk_that_gets_short_of_room_ends_the_episode_well(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    recorder(start, tmp_path, "stop_free_mb:=1000000000")
    folder = Path(client.call(topics.RECORDER_START).message)
    client.until(lambda: "stop_free_mb" in client.message)
    assert client.state["recording"] == "false"
    reader = EpisodeReader(folder)
    assert reader.damage == [] and reader.label()["truncated"] is True
    refused = client.call(topics.RECORDER_STOP)
    assert "stop_free_mb" in refused.message and str(folder) in refused.message


def test_a_stopped_recorder_closes_its_episode(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    folder = Path(client.call(topics.RECORDER_START).message)
    publisher = start("-c", PUBLISH, "30", "BEST_EFFORT")  # as some camera drivers offer it
    wait_until_sent(publisher)
    client.until(lambda: client.state.get("wrist/image_raw", "0") != "0")
    node.send_signal(signal.SIGINT)
    assert node.wait(timeout=10) == 0
    reader = EpisodeReader(folder)
    assert reader.damage == []
    assert reader.label()["interrupted"] is True
    assert "interrupted episode kept" in node.stderr.read()


def test_a_disk_without_room_refuses_to_start(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    recorder(start, tmp_path, "min_free_mb:=1000000000")
    answer = client.call(topics.RECORDER_START)
    assert not answer.success
    assert "min_free_mb" in answer.message
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_ends_the_episode_and_says_so(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    small_disk = f'mount -t tmpfs -o size=20m none "{tmp_path}" && exec "$@"'
    inside = ("unshare", "-rm", "bash", "-c", small_disk, "bash")
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    recorder(start, tmp_path, "min_free_mb:=1", inside=inside)
    folder = client.call(topics.RECORDER_START).message
    publisher = start("-c", PUBLISH, str(FRAMES), "RELIABLE")
    wait_until_sent(publisher)
    client.until(lambda: client.state.get("scene/image_raw.received") == str(FRAMES))
    assert "No space left" in client.message
    assert client.state["folder"] == folder
    assert 0 < int(client.state["scene/image_raw"]) < FRAMES
    assert int(client.state["dropped"]) > 0
    stopped = client.call(topics.RECORDER_STOP)
    assert not stopped.success
    assert "what was recorded until then is kept" in stopped.message
