"""A robot's sensors for `arfm bench record`: numbered joint states and JPEG or raw pictures.

Usage: python -m arfm_ros.up.record.source JOINTS_HZ CAMERAS_HZ raw|compressed

Says `ready` once it publishes and, for each line on its standard input, how many of each topic it
has sent, as JSON. Absolute deadlines: what is late is made up for.
"""

from __future__ import annotations

import array
import json
import signal
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
import rclpy

from arfm_ros.nodes.ros import topics

CAMERAS = ("scene", "wrist")
HEIGHT, WIDTH = 480, 640
JOINTS = 7


class Source:
    """Publishes on a thread of its own; the number of a joint state is its first position."""

    def __init__(self, joints_hz: float, cameras_hz: float, kind: str) -> None:
        self.node = rclpy.create_node("source")
        self._joints_hz, self._cameras_hz = joints_hz, cameras_hz
        row = topics.COMPRESSED_IMAGE if kind == "compressed" else topics.IMAGE
        self._names = {camera: row.of(camera).name for camera in CAMERAS}
        self._pictures = {c: topics.publisher(self.node, row.of(c)) for c in CAMERAS}
        self._states = topics.publisher(self.node, topics.JOINT_STATES)
        self._message = _picture(kind)
        self.sent = dict.fromkeys((topics.JOINT_STATES.name, *self._names.values()), 0)
        self.stop = threading.Event()

    def run(self) -> None:
        """Publish until `stop`."""
        state = topics.interface(topics.JOINT_STATES.type_name)()
        state.name = [f"joint_{i}" for i in range(JOINTS)]
        begin_s, ticks, frames = time.monotonic(), 0, 0
        while not self.stop.is_set():
            now_s = time.monotonic() - begin_s
            while ticks <= now_s * self._joints_hz:
                state.header.stamp = self.node.get_clock().now().to_msg()
                state.position = [float(ticks), *[0.0] * (JOINTS - 1)]
                self._states.publish(state)
                self.sent[topics.JOINT_STATES.name] += 1
                ticks += 1
            if frames <= now_s * self._cameras_hz:
                self._send_pictures()
                frames += 1
            time.sleep(max(begin_s + ticks / self._joints_hz - time.monotonic(), 0.0))

    def _send_pictures(self) -> None:
        for camera, publisher in self._pictures.items():
            self._message.header.stamp = self.node.get_clock().now().to_msg()
            publisher.publish(self._message)
            self.sent[self._names[camera]] += 1


def _picture(kind: str) -> Any:
    """Make a picture with some noise, about as large as one of a real scene."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    pixels = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    if kind == "compressed":
        message = topics.interface(topics.COMPRESSED_IMAGE.type_name)(format="jpeg")
        message.data = array.array("B", cv2.imencode(".jpg", pixels)[1].tobytes())
        return message
    message = topics.interface(topics.IMAGE.type_name)(encoding="rgb8", step=3 * WIDTH)
    message.height, message.width = HEIGHT, WIDTH
    message.data = array.array("B", pixels.tobytes())
    return message


def main() -> int:
    """Publish until the standard input is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rclpy.init()
    source = Source(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
    thread = threading.Thread(target=source.run, daemon=True)
    thread.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(source.sent), flush=True)
    source.stop.set()
    thread.join(timeout=2.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
