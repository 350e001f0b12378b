"""A small random policy bundle, and a robot's sensors as a real ROS node."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from graph_rig import (
    CAMERAS,
    HEIGHT,
    WIDTH,
    by_view,
    guided_step_graph,
    prefix_graph,
    step_graph,
)
from numpy.typing import NDArray
from onnx import numpy_helper
from rclpy._rclpy_pybind11 import RCLError
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from arfm_ros.core.values.data import ActionChunk, ChunkInfo
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, CameraInput, Language, PolicySpec, Rtc
from arfm_ros.core.values.text import tokenize
from arfm_ros.engines.bundle import bundle_sha256, file_sha256, load_bundle
from arfm_ros.engines.runtimes.graph import Runtime
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import (
    diagnostics_to_info,
    ns_to_time,
    time_to_ns,
    trajectory_to_chunk,
)

NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")
VOCABULARY = 512
PICTURE = {
    name: np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for i, name in enumerate(CAMERAS)
}
STATE = np.linspace(-0.7, 0.7, 8, dtype=np.float32)
DEADLINE_S = 40.0
ROOT = Path(__file__).resolve().parents[2]
PATIENT = ("min_camera_hz:=1.0", "min_state_hz:=1.0", "max_age_s:=1.0", "threads:=1")


def write_bundle(folder: Path, guided: bool = False, seed: int = 0) -> Path:
    """Write a bundle of a random network that depends on every input; needs no torch, no time."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    words = rng.standard_normal((VOCABULARY, 8))
    mix, target = rng.standard_normal((22, 32)) / 5.0, rng.standard_normal((32, 16 * 8)) / 5.0
    onnx.save(prefix_graph({"words": words, "mix": mix}), folder / "prefix.onnx")
    onnx.save(step_graph({"target": target}), folder / "step.onnx")
    if guided:
        onnx.save(guided_step_graph({"target": target}), folder / "step_rtc.onnx")
    axes = tuple(Axis(name, "1" if name == "gripper" else "rad") for name in NAMES)
    spec = PolicySpec(
        name="random",
        cameras=tuple(CameraInput(name, HEIGHT, WIDTH) for name in CAMERAS),
        state=axes,
        action=axes,
        horizon=16,
        dt_ns=50_000_000,
        state_norm=Affine(np.zeros(8, np.float32), np.ones(8, np.float32)),
        action_norm=Affine(np.zeros((16, 8), np.float32), np.ones((16, 8), np.float32)),
        relative=(True,) * 7 + (False,),
        steps=3,
        rtc=Rtc("guided", 0, 12) if guided else Rtc(),
        language=Language(length=16, vocabulary=VOCABULARY),
        instructions={"lift": "lift the cube"},
    )
    write_policy(folder, spec)
    return folder


def bundle_by_view(folder: Path) -> Path:
    """Write the same network with a graph of one picture apart from the prefix."""
    spec = load_bundle(write_bundle(folder)).spec
    for name, graph in by_view(onnx.load(folder / "prefix.onnx")).items():
        onnx.save(graph, folder / f"{name}.onnx")
    write_policy(folder, spec)
    return folder


def write_policy(folder: Path, spec: PolicySpec) -> None:
    """Write policy.json for the graphs that lie in `folder`, and say that they were checked."""
    hashes = {file.name: file_sha256(file) for file in sorted(folder.glob("*.onnx"))}
    raw = {"spec": json.loads(spec.to_json()), "sha256": hashes, "provenance": {}}
    (folder / "policy.json").write_text(json.dumps(raw))
    runtime = Runtime(engine="onnx", version="", device="cpu").as_dict()
    record = {"passed": True, "bundle_sha256": bundle_sha256(raw), "runtime": runtime}
    (folder / "parity.json").write_text(json.dumps(record))


def poison(bundle: Path, folder: Path, word: str) -> Path:
    """Copy a bundle whose network answers one word of the instruction with NaN."""
    shutil.copytree(bundle, folder)
    spec = load_bundle(bundle).spec
    row = tokenize(word, 1, spec.language.vocabulary)[0]
    model = onnx.load(folder / "prefix.onnx")
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if values.ndim == 2 and values.shape[0] == spec.language.vocabulary:
            values[row] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, folder / "prefix.onnx")
    write_policy(folder, spec)
    return folder


def start_node(bundle: Path, *parameters: str) -> subprocess.Popen[str]:
    """Start a policy node, patient with a slow machine, as a process of its own."""
    command = [sys.executable, "-m", "arfm_ros.nodes.policy_node", "--ros-args"]
    for one in (f"bundle:={bundle}", *PATIENT, *parameters):
        command += ["-p", one]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def served(bundle: Path, domain: int, *parameters: str) -> Generator[Robot, None, None]:
    """Let a policy node serve `bundle` to a robot; it has to end well."""
    process, robot = start_node(bundle, *parameters), Robot(domain)
    try:
        yield robot
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0 and "Traceback" not in out + err
    finally:
        process.kill()
        process.communicate()
        robot.close()


class Robot:
    """Cameras at 20 Hz and joint states at 100 Hz, and an ear for what the policy says."""

    def __init__(self, domain: int) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("robot", context=self.context)
        self.silent: set[str] = set()
        self.apart_s = 0.0  # between the pictures of two cameras
        self.gripper_every, self._told = 1, 0  # of that many states one tells of the gripper
        self.position = STATE.copy()
        self.picture = dict(PICTURE)
        self.shown: dict[int, dict[str, NDArray[np.uint8]]] = {}  # stamp -> pictures
        self.image_stamps: dict[int, set[str]] = {}
        self.state_stamps: dict[int, NDArray[np.float32]] = {}  # stamp -> state
        self.chunks: list[JointTrajectory] = []
        self.infos: list[DiagnosticArray] = []
        self.health: list[tuple[int, str, dict[str, str]]] = []
        self._changed = threading.Condition()
        self._images = {
            name: topics.publisher(self.node, topics.IMAGE.of(camera=name)) for name in CAMERAS
        }
        self._joints = topics.publisher(self.node, topics.JOINT_STATES)
        self._gripper = topics.publisher(self.node, topics.GRIPPER_STATES)
        self._instruction = topics.publisher(self.node, topics.INSTRUCTION)
        self._authority = topics.publisher(self.node, topics.AUTHORITY)
        topics.subscription(self.node, topics.ACTION_CHUNK, self._noting(self.chunks.append))
        topics.subscription(self.node, topics.CHUNK_INFO, self._noting(self.infos.append))
        topics.subscription(self.node, topics.DIAGNOSTICS, self._noting(self._on_health))
        self.node.create_timer(0.05, self._capture)
        self.node.create_timer(0.01, self._report_state)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the node and its thread."""
        rclpy.shutdown(context=self.context)
        self._thread.join(timeout=5.0)
        self.node.destroy_node()

    def instruct(self, text: str) -> None:
        """Publish an instruction."""
        self._instruction.publish(String(data=text))

    def hands_over_to(self, authority: str) -> None:
        """Publish who drives, as the arbiter does."""
        self._authority.publish(String(data=authority))

    def until(self, what: Callable[[], Any], timeout_s: float = DEADLINE_S) -> Any:
        """Wait until `what()` is true and return it."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while not (found := what()) and time.monotonic() < end:
                self._changed.wait(0.1)
        assert found, f"not within {timeout_s} s; chunks {len(self.chunks)}; {self.health[-1:]}"
        return found

    def hears(self, words: str) -> None:
        """Wait for diagnostics of the policy, from now on, whose message contains `words`."""
        since = len(self.health)
        self.until(lambda: any(words in message for _, message, _ in self.health[since:]))

    def says(self, words: str) -> None:
        """Wait for diagnostics whose `waiting_for` names `words`, and for silence with it."""
        since = len(self.health)

        def said() -> bool:
            values = [one[2] for one in self.health[since:]]
            return any(words in value.get("waiting_for", "") for value in values)

        self.until(said)

    def hears_more_chunks(self, count: int) -> None:
        """Wait for so many chunks from now on."""
        since = len(self.chunks)
        self.until(lambda: len(self.chunks) >= since + count)

    def _noting(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def note(message: Any) -> None:
            with self._changed:
                take(message)
                self._changed.notify_all()

        return note

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith("policy_node"):
                values = {pair.key: pair.value for pair in status.values}
                self.health.append((
                    int.from_bytes(status.level, "little"),
                    status.message,
                    values,
                ))

    def _capture(self) -> None:
        stamp = self.node.get_clock().now().to_msg()
        self.shown[time_to_ns(stamp)] = self.picture
        for name, publisher in self._images.items():
            if name in self.silent:
                continue
            if self.apart_s:
                time.sleep(self.apart_s)
                stamp = self.node.get_clock().now().to_msg()
            height, width = self.picture[name].shape[:2]
            data = array("B", self.picture[name].tobytes())
            image = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=data)
            image.header.stamp = stamp
            self.image_stamps.setdefault(time_to_ns(stamp), set()).add(name)
            publisher.publish(image)

    def _report_state(self) -> None:
        self._told += 1
        now_ns = self.node.get_clock().now().nanoseconds
        self.state_stamps[now_ns] = self.position.copy()
        arm = JointState(name=list(NAMES[:7]), position=self.position[:7].tolist())
        gripper = JointState(name=[NAMES[7]], position=self.position[7:].tolist())
        for publisher, message in ((self._joints, arm), (self._gripper, gripper)):
            often = self._told % self.gripper_every == 0
            if publisher is self._gripper and ("gripper" in self.silent or not often):
                continue
            message.header.stamp = ns_to_time(now_ns)
            publisher.publish(message)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except (ExternalShutdownException, RCLError):  # the latter: about to wait just then
            if self.context.ok():
                raise


def pairs(robot: Robot) -> list[tuple[ActionChunk, ChunkInfo, dict[str, float]]]:
    """Give every chunk with the info that has its stamp; a slow reader keeps the newest only."""
    infos = {time_to_ns(info.header.stamp): info for info in list(robot.infos)}
    chunks = [trajectory_to_chunk(message) for message in list(robot.chunks)]
    assert any(chunk.stamp_ns in infos for chunk in chunks)
    return [
        (chunk, *diagnostics_to_info(infos[chunk.stamp_ns]))
        for chunk in chunks
        if chunk.stamp_ns in infos
    ]
