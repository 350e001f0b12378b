"""The simulator's cameras: a thread that renders snapshots of instants ahead of the wall clock.

Rendering takes ten times as long as the physics of the same time, so it has its own MjData and its
own thread; MuJoCo and OpenGL release the interpreter lock while they work. Images are serialized
there too, and sent by one more thread: DDS takes milliseconds for a megabyte, and neither physics
nor the next picture waits for it. A snapshot that comes while the previous one is still being
rendered replaces the waiting one and is counted.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from arfm_ros.core.errors import ArfmError, ConfigError
from arfm_ros.nodes.ros.real_time import ordinary_priority
from arfm_ros.nodes.ros.robot_topics import CameraRows
from arfm_ros.nodes.ros.topics import publisher
from arfm_ros.sim.timeline import Instant, Send, Timeline
from arfm_ros.sim.view.render import Intrinsics, Renderer, SceneState, Stage
from arfm_ros.sim.view.viewer import Viewer

try:
    import cv2
except ImportError:  # then there is no /compressed, and /diagnostics says so
    cv2 = None

START_TIMEOUT_S = 60.0
SEND_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What of the node's parameters concerns the cameras."""

    named: Mapping[str, str]  # camera -> topic of its raw images
    height: int
    width: int
    jpeg_quality: int
    view: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(self.named)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What to render, and when it was so."""

    state: SceneState
    instant: Instant
    stamp: Time


class CameraFeed:
    """Renders every snapshot it is offered, for all cameras, and sends the images in time."""

    def __init__(self, node: Node, model: Any, settings: CameraSettings) -> None:
        self._model, self._settings = model, settings
        quality = settings.jpeg_quality
        self._cameras = [_Camera(node, *one, quality) for one in settings.named.items()]
        self.skipped = 0  # snapshots replaced before they were rendered
        self.late = 0  # snapshots rendered after their instant
        self.error: Exception | None = None
        self._waiting: Snapshot | None = None
        self._wake = threading.Condition()
        self._stopping = False
        self._ready = threading.Event()
        self._timeline: Timeline
        self._threads = [threading.Thread(target=self._run, name="cameras", daemon=True)]
        self._threads[0].start()
        if not self._ready.wait(START_TIMEOUT_S):
            raise ConfigError(f"the renderer did not start within {START_TIMEOUT_S:g} s: check GL")
        if self.error is not None:
            raise self.error

    @property
    def published(self) -> dict[str, int]:
        """Number of raw images published so far, by camera."""
        return {camera.name: camera.counts["raw"] for camera in self._cameras}

    @property
    def compressed(self) -> dict[str, int]:
        """Number of JPEG images published so far, by camera."""
        return {camera.name: camera.counts["jpeg"] for camera in self._cameras}

    def send_by(self, timeline: Timeline) -> None:
        """Begin to send; nothing may be offered before."""
        self._timeline = timeline
        self._threads.append(threading.Thread(target=self._send, name="pictures", daemon=True))
        self._threads[-1].start()

    def offer(self, snapshot: Snapshot) -> None:
        """Have a snapshot rendered as soon as possible; returns at once."""
        with self._wake:
            self.skipped += self._waiting is not None
            self._waiting = snapshot
            self._wake.notify()

    def close(self) -> None:
        """Stop the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  thread border: the node raises it again
            self.error = error
        finally:
            self._ready.set()

    def _send(self) -> None:
        ordinary_priority()
        try:
            while not self._stopping:
                self._timeline.send_slow(SEND_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001  thread border: the node raises it again
            self.error = error

    def _work(self) -> None:
        ordinary_priority()  # pictures may be late, the arm may not
        settings = self._settings
        stage = Stage(self._model)
        renderer = Renderer(self._model, settings.height, settings.width, settings.names)
        viewer = Viewer(self._model) if settings.view else None
        for camera in self._cameras:
            camera.describe(renderer.intrinsics[camera.name])
        self._ready.set()
        try:
            while (snapshot := self._next()) is not None:
                stage.show(snapshot.state)
                names = settings.names
                self._hand_over(snapshot, [renderer.render(stage.data, name) for name in names])
                if viewer is not None:
                    viewer.show(snapshot.state)
        finally:
            renderer.close()
            if viewer is not None:
                viewer.close()

    def _hand_over(self, snapshot: Snapshot, pictures: Sequence[NDArray[np.uint8]]) -> None:
        pairs = list(zip(self._cameras, pictures, strict=True))
        images = [camera.image(pixels, snapshot.stamp) for camera, pixels in pairs]
        infos = [camera.info(snapshot.stamp) for camera in self._cameras]
        self.late += self._timeline.post_slow(snapshot.instant, images + infos)
        jpegs = [c.jpeg(pixels, snapshot.stamp) for c, pixels in pairs if c.has_jpeg_readers]
        self._timeline.post_slow(snapshot.instant, jpegs)

    def _next(self) -> Snapshot | None:
        with self._wake:
            while self._waiting is None and not self._stopping:
                self._wake.wait(timeout=1.0)
            snapshot, self._waiting = self._waiting, None
            return None if self._stopping else snapshot


class _Camera:
    """Publishers of one camera."""

    def __init__(self, node: Node, name: str, topic: str, jpeg_quality: int) -> None:
        self.name = name
        rows = CameraRows.of(name, topic)
        self._raw, self._info_out = publisher(node, rows.raw), publisher(node, rows.info)
        self._jpeg: Any = publisher(node, rows.compressed) if cv2 is not None else None
        self._jpeg_quality = jpeg_quality
        self._info = CameraInfo()
        self.counts: Counter[str] = Counter()

    def describe(self, pinhole: Intrinsics) -> None:
        fx, fy, cx, cy = pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy
        self._info.header.frame_id = f"{self.name}_optical_frame"
        self._info.height, self._info.width = pinhole.height, pinhole.width
        self._info.distortion_model, self._info.d = "plumb_bob", [0.0] * 5
        self._info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
        self._info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        self._info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]

    @property
    def has_jpeg_readers(self) -> bool:
        return self._jpeg is not None and self._jpeg.get_subscription_count() > 0

    def image(self, pixels: NDArray[np.uint8], stamp: Time) -> Send:
        """Prepare sending an image."""
        message = Image(header=self._header(stamp), encoding="rgb8", is_bigendian=0)
        message.height, message.width = pixels.shape[:2]
        message.step = 3 * pixels.shape[1]
        # array.array is the one type that rclpy's setter takes over without looking at each byte.
        message.data = array("B", pixels.tobytes())
        return partial(self._send, "raw", self._raw, serialize_message(message))

    def info(self, stamp: Time) -> Send:
        """Prepare sending the pinhole model that goes with an image."""
        self._info.header.stamp = stamp
        return partial(self._send, "info", self._info_out, serialize_message(self._info))

    def jpeg(self, pixels: NDArray[np.uint8], stamp: Time) -> Send:
        """Prepare sending an image as JPEG."""
        quality = (cv2.IMWRITE_JPEG_QUALITY, self._jpeg_quality)
        done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
        if not done:
            raise ArfmError(
                f"OpenCV could not encode a {pixels.shape} image of camera {self.name}"
            )
        message = CompressedImage(header=self._header(stamp), format="rgb8; jpeg compressed bgr8")
        message.data = array("B", jpeg.tobytes())
        return partial(self._send, "jpeg", self._jpeg, serialize_message(message))

    def _header(self, stamp: Time) -> Header:
        return Header(stamp=stamp, frame_id=self._info.header.frame_id)

    def _send(self, kind: str, publisher: Any, cdr: bytes) -> None:
        publisher.publish(cdr)
        self.counts[kind] += 1
