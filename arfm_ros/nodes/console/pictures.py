"""The newest picture of each camera as JPEG; nothing is received while nobody looks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.core.errors import ArfmError
from arfm_ros.nodes.ros import topics
from arfm_ros.robots.robot import RobotCamera
from arfm_ros.wire.images import compressed_payload, decode

LOOK_S, QUALITY, NS = 0.1, 80, 1_000_000_000
COMPRESSED = "/compressed"


@dataclass(slots=True)
class Newest:
    """A picture, its number, and when the last ones came."""

    number: int = 0
    jpeg: bytes = b""
    times_ns: deque[int] = field(default_factory=lambda: deque(maxlen=30))

    def rate_hz(self, now_ns: int) -> float:
        """Return pictures a second, 0 where none came for a second."""
        if len(self.times_ns) < 2 or now_ns - self.times_ns[-1] > NS:
            return 0.0
        return (len(self.times_ns) - 1) * NS / max(1, self.times_ns[-1] - self.times_ns[0])


class Pictures:
    """Readers of cameras that come and go with those who look.

    `watch` and `leave` are for the server's thread; `rang` is called for every new picture, in
    the executor's thread.
    """

    def __init__(
        self, node: Node, cameras: tuple[RobotCamera, ...], max_hz: float, rang: Callable[[], None]
    ) -> None:
        self._node, self._rang = node, rang
        self._topics = {camera.name: camera.topic for camera in cameras}
        self.newest = {camera.name: Newest() for camera in cameras}
        self._period_ns, self._due_ns = round(NS / max_hz), dict.fromkeys(self._topics, 0)
        self._looking, self._lock = 0, threading.Lock()
        self._readers: dict[str, tuple[str, Any]] = {}
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(LOOK_S, self._look, clock=steady)

    def watch(self, change: int) -> None:
        """Count who looks: 1 more, or 1 less."""
        with self._lock:
            self._looking += change

    def rates(self, now_ns: int) -> dict[str, float]:
        """Return camera -> pictures a second that are received."""
        return {name: round(one.rate_hz(now_ns), 1) for name, one in self.newest.items()}

    def _look(self) -> None:
        """Open and close readers: JPEG where it is published, else what the camera has."""
        if not self._looking:
            for _, reader in self._readers.values():
                self._node.destroy_subscription(reader)
            self._readers.clear()
            return
        for name, topic in self._topics.items():
            wanted = self._best(topic)
            topic_now, reader = self._readers.get(name, ("", None))
            if wanted == topic_now:
                continue
            if reader is not None:
                self._node.destroy_subscription(reader)
            row = topics.COMPRESSED_IMAGE if wanted.endswith(COMPRESSED) else topics.IMAGE
            callback = partial(self._on_picture, name, row is topics.COMPRESSED_IMAGE)
            made = topics.subscription(
                self._node, row.at(wanted), callback, topics.NEWEST, raw=True
            )
            self._readers[name] = (wanted, made)

    def _best(self, topic: str) -> str:
        jpeg = topic if topic.endswith(COMPRESSED) else topic + COMPRESSED
        if self._node.count_publishers(jpeg):
            return jpeg
        return topic

    def _on_picture(self, name: str, compressed: bool, cdr: bytes) -> None:
        newest, now_ns = self.newest[name], time.monotonic_ns()
        newest.times_ns.append(now_ns)
        if now_ns < self._due_ns[name]:
            return
        self._due_ns[name] = max(self._due_ns[name] + self._period_ns, now_ns)
        jpeg = _jpeg(cdr, compressed)
        if jpeg:
            newest.jpeg, newest.number = jpeg, newest.number + 1
            self._rang()


def _jpeg(cdr: bytes, compressed: bool) -> bytes:
    """Return a picture as a browser shows it, b"" where it is of a kind that cannot be shown."""
    try:
        if compressed:
            return bytes(compressed_payload(cdr))
        picture = decode(cdr, compressed=False)
    except ArfmError:
        return b""  # the policy node says what is wrong with it
    turned = np.ascontiguousarray(picture[..., ::-1])
    good, jpeg = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes() if good else b""
