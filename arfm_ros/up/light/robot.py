"""A robot that costs next to nothing: recorded pictures, and an arm that follows its commands.

Usage: python -m arfm_ros.up.light.robot EPISODE

Publishes what the FR3 and its cameras do (joint states at 250 Hz, gripper at 100 Hz, raw pictures
at 30 Hz), as prepared bytes with a new stamp. The pictures go to and fro through an episode. Says
`ready` once it publishes; on each line of its standard input it says what it has sent, as JSON.
"""

from __future__ import annotations

import json
import math
import signal
import struct
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.serialization import serialize_message

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.nodes.ros.real_time import raise_process_priority, real_time
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.wire.images import decode

CAMERAS = ("scene", "wrist")
JOINTS_HZ, GRIPPER_HZ, CAMERAS_HZ = 250, 100, 30
FRAMES_MAX = 60  # pictures of a camera that are held in memory
FOLLOWS_S = 0.02  # time constant of the arm
GRIPPER_JOINT = "gripper_joint"  # as CRISP's Franka hand adapter has it
STAMP = struct.Struct("<iI")  # behind the four bytes of the encapsulation
NS = 1_000_000_000
PRIORITY, SWITCH_INTERVAL_S = 30, 0.0005


class Prepared:
    """A message as bytes: its stamp and some of its numbers are written anew each time.

    `marks` are the arrays of float64 that change, with numbers by which they are found.
    """

    def __init__(self, message: Any, *marks: Sequence[float]) -> None:
        self._data = bytearray(serialize_message(message))
        self._places = [
            (struct.Struct(f"<{len(one)}d"), self._data.find(struct.pack(f"<{len(one)}d", *one)))
            for one in marks
        ]

    def at(self, stamp_ns: int, *arrays: Sequence[float]) -> bytes:
        """Return the message of that time with these arrays."""
        STAMP.pack_into(self._data, 4, stamp_ns // NS, stamp_ns % NS)
        for (packed, place), numbers in zip(self._places, arrays):
            packed.pack_into(self._data, place, *numbers)
        return bytes(self._data)


class LightRobot:
    """Publishes on a thread of its own; commands come by the executor."""

    def __init__(self, episode: Path) -> None:
        self.node = rclpy.create_node("light_robot", start_parameter_services=False)
        self._target, self._arm, self._velocity = [*fr3.HOME], [*fr3.HOME], [0.0] * fr3.DOF
        self._opening = 1.0
        self._out: dict[str, Callable[[bytes], None]] = {}
        for row in (topics.JOINT_STATES, topics.GRIPPER_STATES, *map(_raw, CAMERAS)):
            self._out[row.name] = topics.publisher(self.node, row).publish
        self.sent = dict.fromkeys(self._out, 0)
        topics.subscription(self.node, topics.TARGET_JOINT, self._on_target)
        topics.subscription(self.node, topics.GRIPPER_COMMAND, self._on_gripper)
        self._joints, self._gripper = _joint_messages()
        self._pictures = {name: pictures(episode, name) for name in CAMERAS}
        self.stop = threading.Event()

    def run(self) -> None:
        """Publish until `stop`, each kind on deadlines of its own.

        In real time where that is granted: a robot's own computer has no part in this load.
        """
        real_time(PRIORITY)
        begin_ns = time.monotonic_ns()
        rates = {self._tell_joints: JOINTS_HZ, self._tell_gripper: GRIPPER_HZ}
        rates[self._show] = CAMERAS_HZ
        due = {tell: 0 for tell in rates}
        while not self.stop.is_set():
            tell = min(due, key=lambda one: due[one] / rates[one])
            at_ns = begin_ns + due[tell] * NS // rates[tell]
            time.sleep(max(0.0, (at_ns - time.monotonic_ns()) / NS))
            tell(due[tell])
            due[tell] += 1

    def _tell_joints(self, n: int) -> None:
        share = 1.0 - math.exp(-1.0 / (JOINTS_HZ * FOLLOWS_S))
        for k, wanted in enumerate(self._target):
            step = share * (wanted - self._arm[k])
            self._arm[k] += step
            self._velocity[k] = step * JOINTS_HZ
        self._send(topics.JOINT_STATES.name, self._joints, self._arm, self._velocity)

    def _tell_gripper(self, n: int) -> None:
        self._send(topics.GRIPPER_STATES.name, self._gripper, [self._opening])

    def _show(self, n: int) -> None:
        for camera, kept in self._pictures.items():
            turn = n % (2 * len(kept) - 1)
            self._send(_raw(camera).name, kept[min(turn, 2 * len(kept) - 2 - turn)])

    def _send(self, name: str, message: Prepared, *arrays: Sequence[float]) -> None:
        stamp_ns = self.node.get_clock().now().nanoseconds
        self._out[name](message.at(stamp_ns, *arrays))
        self.sent[name] += 1

    def _on_target(self, message: Any) -> None:
        self._target = list(message.position[: fr3.DOF])

    def _on_gripper(self, message: Any) -> None:
        self._opening = min(max(float(message.data[0]), 0.0), 1.0)


def pictures(episode: Path, camera: str) -> list[Prepared]:
    """Read some pictures of a camera, ready to be sent; raises `ConfigError` without any."""
    reader, kept = EpisodeReader(episode), list[Prepared]()
    row = _raw(camera)
    for pixels in _frames(reader, f"/{row.name}"):
        message = topics.interface(row.type_name)(encoding="rgb8", step=3 * pixels.shape[1])
        message.height, message.width = pixels.shape[:2]
        message.header.frame_id = f"{camera}_optical_frame"
        message.data = array("B", pixels.tobytes())
        kept.append(Prepared(message))
        if len(kept) == FRAMES_MAX:
            break
    if not kept:
        raise ConfigError(f"{episode} has no pictures of camera {camera}: give another --source")
    return kept


def _frames(reader: EpisodeReader, topic: str) -> Iterator[Any]:
    for record in reader.records({topic, f"{topic}/compressed"}):
        yield decode(record.cdr, record.topic.endswith("/compressed"))


def _raw(camera: str) -> topics.Topic:
    return topics.IMAGE.of(camera=camera)


def _joint_messages() -> tuple[Prepared, Prepared]:
    kind = topics.interface(topics.JOINT_STATES.type_name)
    place, speed = ([first + k + 0.5 for k in range(fr3.DOF)] for first in (1, 50))
    arm = kind(name=list(fr3.JOINT_NAMES), position=place, velocity=speed)
    gripper = kind(name=[GRIPPER_JOINT], position=[0.5])
    return Prepared(arm, place, speed), Prepared(gripper, [0.5])


def main() -> int:
    """Publish until the standard input is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_process_priority()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rclpy.init()
    robot = LightRobot(Path(sys.argv[1]))
    spinner = Spinner()
    spinner.add_node(robot.node)
    threads = [threading.Thread(target=one, daemon=True) for one in (robot.run, spinner.spin)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(robot.sent), flush=True)
    robot.stop.set()
    threads[0].join(timeout=2.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
