"""Images out of ROS messages as uint8 [H, W, 3] RGB, without a copy where the encoding allows.

Nodes subscribe raw: the callback gets serialized CDR bytes, keeps them, and reads the stamp at a
fixed place (`stamp_of`). Only the image that is really used is looked into, in the worker
thread. rclpy's own deserialization would copy every frame in the executor thread instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.data import U8
from arfm_ros.core.errors import SpecError

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """What a `sensor_msgs/Image` says, its pixels still as they came."""

    height: int
    width: int
    encoding: str
    step: int  # bytes a row
    data: Any  # buffer of step * height bytes


class Cdr:
    """Read the few plain fields of a serialized message in order (XCDR1, as ROS 2 sends it)."""

    def __init__(self, cdr: bytes) -> None:
        if len(cdr) < 4 or cdr[0] != 0 or cdr[1] > 1:
            raise SpecError(f"message of {len(cdr)} bytes is not CDR: it begins {cdr[:4].hex()}")
        self._data, self._at = memoryview(cdr)[4:], 0
        self._order = "<" if cdr[1] == 1 else ">"

    def number(self, code: str) -> int:
        """Read one integer of `struct` type `code`, aligned to its size."""
        size = struct.calcsize(code)
        self._at += -self._at % size
        try:
            (value,) = struct.unpack_from(self._order + code, self._data, self._at)
        except struct.error as error:
            raise SpecError(f"message of {len(self._data) + 4} bytes is cut short") from error
        self._at += size
        return int(value)

    def octets(self) -> memoryview:
        """Read a sequence of bytes as a view."""
        size = self.number("I")
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise SpecError(f"message of {len(self._data) + 4} bytes is cut short")
        return self._data[begin : self._at]

    def text(self) -> str:
        """Read a string."""
        return bytes(self.octets()).rstrip(b"\0").decode(errors="replace")

    def stamp_ns(self) -> int:
        """Read a header's stamp."""
        return self.number("i") * NS + self.number("I")


def stamp_of(cdr: bytes) -> int:
    """Read the stamp of any serialized message that begins with a header, in ns."""
    return Cdr(cdr).stamp_ns()


def decode(cdr: bytes, compressed: bool) -> U8:
    """Decode a serialized `Image` or `CompressedImage` to RGB [H, W, 3].

    Raises `SpecError` naming the encoding when it needs `cv_bridge` and that is not installed.
    """
    if compressed:
        return decode_compressed(compressed_payload(cdr))
    frame = frame_of(cdr)
    if frame.encoding in CHANNELS:
        return to_rgb(frame)
    return _bridge(cdr, frame.encoding)


def frame_of(cdr: bytes) -> Frame:
    """Look into a serialized `sensor_msgs/Image` without copying its pixels."""
    reader = Cdr(cdr)
    reader.stamp_ns()
    reader.octets()  # frame_id
    height, width = reader.number("I"), reader.number("I")
    encoding = reader.text()
    reader.number("B")  # is_bigendian: of no account for 8-bit channels
    step = reader.number("I")
    return Frame(height, width, encoding, step, reader.octets())


def compressed_payload(cdr: bytes) -> memoryview:
    """Give the JPEG or PNG bytes of a serialized `sensor_msgs/CompressedImage`."""
    reader = Cdr(cdr)
    reader.stamp_ns()
    reader.octets()  # frame_id
    reader.octets()  # format
    return reader.octets()


def to_rgb(frame: Frame) -> U8:
    """Give an image of a plain 8-bit encoding as RGB [H, W, 3]; rgb8 is a view of its data."""
    if frame.encoding not in CHANNELS:
        known = ", ".join(CHANNELS)
        raise SpecError(f"image encoding '{frame.encoding}' is not one of {known}")
    channels, convert = CHANNELS[frame.encoding]
    flat = np.frombuffer(frame.data, dtype=np.uint8)
    row = frame.width * channels
    if frame.step < row or flat.size < frame.step * frame.height or not row:
        raise SpecError(
            f"image {frame.width} x {frame.height} {frame.encoding} with step {frame.step} has "
            f"{flat.size} bytes, needs {max(frame.step, row) * frame.height}"
        )
    padded = flat[: frame.step * frame.height].reshape(frame.height, frame.step)
    return convert(padded[:, :row].reshape(frame.height, frame.width, channels))


def decode_compressed(payload: Any) -> U8:
    """Decode JPEG or PNG to RGB [H, W, 3]."""
    image = cv2.imdecode(np.frombuffer(payload, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SpecError(f"compressed image of {len(payload)} bytes is neither JPEG nor PNG")
    return _array(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _array(image: Any) -> U8:
    return np.asarray(image, dtype=np.uint8)


def _by(code: int) -> Callable[[NDArray[np.uint8]], U8]:
    return lambda pixels: _array(cv2.cvtColor(np.ascontiguousarray(pixels), code))


CHANNELS: Mapping[str, tuple[int, Callable[[NDArray[np.uint8]], U8]]] = {
    "rgb8": (3, _array),
    "8UC3": (3, _by(cv2.COLOR_BGR2RGB)),  # OpenCV's own order
    "bgr8": (3, _by(cv2.COLOR_BGR2RGB)),
    "rgba8": (4, _by(cv2.COLOR_RGBA2RGB)),
    "bgra8": (4, _by(cv2.COLOR_BGRA2RGB)),
    "mono8": (1, _by(cv2.COLOR_GRAY2RGB)),
}


def _bridge(cdr: bytes, encoding: str) -> U8:
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError as error:
        raise SpecError(
            f"image encoding '{encoding}' needs cv_bridge, which is not installed "
            "(ros-jazzy-cv-bridge); without it: " + ", ".join(CHANNELS)
        ) from error
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import Image

    try:
        image = CvBridge().imgmsg_to_cv2(deserialize_message(cdr, Image), desired_encoding="rgb8")
    except CvBridgeError as error:
        raise SpecError(f"cv_bridge cannot turn '{encoding}' into rgb8: {error}") from error
    return _array(image)
