"""Time series out of an episode: joint values by name, decoded images, texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.cdr import ENCAPSULATION, Cursor, header_stamp_ns
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.scan import Record

U8 = NDArray[np.uint8]
BODY = ENCAPSULATION + 8  # behind the stamp


@dataclass(frozen=True, slots=True, eq=False)
class JointSeries:
    """Positions [N, len(names)] at their stamps [N], in the order of recording."""

    names: tuple[str, ...]
    stamp_ns: NDArray[np.int64]
    position: NDArray[np.float64]

    def newest(self, at_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the newest sample at or before each instant; -1 where there is none yet."""
        return np.searchsorted(self.stamp_ns, at_ns, side="right") - 1


def joints(reader: EpisodeReader, relative: str) -> JointSeries | None:
    """Read a JointState topic; None when it was not recorded or is empty.

    Raises `EpisodeError` when the names change within the episode.
    """
    topic = reader.find(relative)
    records = list(reader.records({topic})) if topic else []
    if not records:
        return None
    names, offset = _layout(records[0])
    prefix = bytes(records[0].cdr[BODY:offset])
    width = 8 * len(names)
    stamps = np.empty(len(records), dtype=np.int64)
    position = np.empty((len(records), len(names)))
    for row, record in enumerate(records):
        if record.cdr[BODY:offset] != prefix:
            raise EpisodeError(f"{reader.folder}: the joint names on {topic} change on the way")
        stamps[row] = header_stamp_ns(record.cdr)
        position[row] = np.frombuffer(record.cdr[offset : offset + width], dtype="<f8")
    order = np.argsort(stamps, kind="stable")
    return JointSeries(names, stamps[order], position[order])


def _layout(record: Record) -> tuple[tuple[str, ...], int]:
    """Give the joint names of a JointState and the offset of its positions."""
    cursor = Cursor(record.cdr)
    cursor.header()
    names = tuple(cursor.text() for _ in range(cursor.u32()))
    count = len(cursor.doubles())
    if count != len(names):
        raise EpisodeError(f"{record.topic} has {count} positions for {len(names)} names")
    return names, ENCAPSULATION + cursor.at - 8 * count


def pick(series: Iterable[JointSeries | None], names: Sequence[str]) -> list[tuple[int, int]]:
    """Find (series, column) of each name; `EpisodeError` lists what is missing and what is."""
    where = {
        name: (number, column)
        for number, one in enumerate(series)
        if one is not None
        for column, name in enumerate(one.names)
    }
    missing = [name for name in names if name not in where]
    if missing:
        raise EpisodeError(
            f"no {', '.join(missing)} in the recording; it has: {', '.join(where) or 'no joints'}"
        )
    return [where[name] for name in names]


def decode_image(record: Record) -> U8:
    """Decode an Image (rgb8, bgr8, mono8) or CompressedImage to RGB uint8 [H, W, 3]."""
    import cv2

    cursor = Cursor(record.cdr)
    cursor.header()
    if record.type_name == "sensor_msgs/msg/CompressedImage":
        cursor.text()
        bgr = cv2.imdecode(cursor.octets(), cv2.IMREAD_COLOR)
        if bgr is None:
            raise EpisodeError(f"an image on {record.topic} does not decode")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    height, width, encoding = cursor.u32(), cursor.u32(), cursor.text()
    cursor.octet()
    step = cursor.u32()
    rows = cursor.octets().reshape(height, step)
    if encoding not in ("rgb8", "bgr8", "mono8"):
        raise EpisodeError(f"{record.topic} is '{encoding}', needs rgb8, bgr8 or mono8")
    channels = 1 if encoding == "mono8" else 3
    pixels = rows[:, : width * channels].reshape(height, width, channels)
    if encoding == "bgr8":
        return np.ascontiguousarray(pixels[..., ::-1])
    return np.repeat(pixels, 3, axis=2) if channels == 1 else pixels


def image_topic(reader: EpisodeReader, camera: str) -> str:
    """Find the topic of a camera: raw images, else compressed ones. `EpisodeError` if neither."""
    for relative in (f"{camera}/image_raw", f"{camera}/image_raw/compressed"):
        topic = reader.find(relative)
        if topic is not None:
            return topic
    have = [t for t in reader.topics if "image" in t]
    raise EpisodeError(
        f"{reader.folder} has no camera '{camera}'; image topics: {', '.join(have) or 'none'}"
    )


def resized(rgb: U8, height: int, width: int) -> U8:
    """Resize as the engines do: cv2.INTER_AREA."""
    import cv2

    if rgb.shape[:2] == (height, width):
        return rgb.copy()  # not a view of the file
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))


def texts(reader: EpisodeReader, relative: str) -> list[tuple[int, str]]:
    """Read a String topic as (publisher's time in ns, text)."""
    topic = reader.find(relative)
    if topic is None:
        return []
    return [(r.publish_time_ns, Cursor(r.cdr).text()) for r in reader.records({topic})]
