"""Time series out of an episode: decoded images and texts; joints are in `read.axes`."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.read.said import topics_in
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.scan import Record
from arfm_ros.wire.cdr import Cursor
from arfm_ros.wire.errors import WireError
from arfm_ros.wire.images import DECODERS

U8 = NDArray[np.uint8]
RAW, JPEG = "/image_raw", "/image_raw/compressed"  # our own pictures of a camera, behind its name


def decode_image(record: Record) -> U8:
    """Decode an Image or a CompressedImage, as the nodes do, to RGB uint8 [H, W, 3]."""
    try:
        return DECODERS[record.type_name](record.cdr)
    except WireError as error:
        raise EpisodeError(f"{record.topic}: {error}") from error


def image_topic(reader: EpisodeReader, camera: str, topics: Topics = OWN) -> str:
    """Find the topic of a camera: the one that is mapped, else raw images, else compressed ones.

    Raises `EpisodeError` if there is none.
    """
    mapped = dict(topics_in(reader, topics).cameras).get(camera, "")
    names = (mapped, f"{mapped}/compressed") if mapped else (camera + RAW, camera + JPEG)
    have = [topic for topic, kind in reader.topics.items() if kind in DECODERS]
    for name in names:
        topic = reader.find(name)
        if topic in have:
            return topic
    raise EpisodeError(
        f"{reader.folder} has no camera '{camera}' (on {names[0]}); image topics: "
        f"{', '.join(have) or 'none'}"
    )


def cameras_of(reader: EpisodeReader, topics: Topics = OWN) -> tuple[str, ...]:
    """List the cameras of an episode: the mapped ones that are there, then those of our own."""
    told = topics_in(reader, topics).cameras
    there = [reader.find(t) or reader.find(f"{t}/compressed") for _, t in told]
    mapped = [name for (name, _), topic in zip(told, there) if topic]
    rest = [topic for topic in reader.topics if topic not in there]
    ends = [(topic, end) for topic in rest for end in (RAW, JPEG) if topic.endswith(end)]
    own = sorted({topic.removesuffix(end).rpartition("/")[2] for topic, end in ends})
    return tuple(dict.fromkeys((*mapped, *own)))


def resized(rgb: U8, height: int, width: int) -> U8:
    """Resize as the engines do: cv2.INTER_AREA."""
    if rgb.shape[:2] == (height, width):
        return rgb.copy()  # not a view of the file
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def texts(reader: EpisodeReader, relative: str) -> list[tuple[int, str]]:
    """Read a String topic as (publisher's time in ns, text)."""
    topic = reader.find(relative)
    if topic is None:
        return []
    return [(r.publish_time_ns, Cursor(r.cdr).text()) for r in reader.records({topic})]
