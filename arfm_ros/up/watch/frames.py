"""Count camera frames: published while a bag was open, and recorded in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from arfm_ros.nodes.ros.robot_topics import CameraRows
from arfm_ros.up.watch.readings import StreamGap


@dataclass(frozen=True, slots=True)
class FrameCount:
    """Frames of one camera."""

    published: int = 0
    recorded: int = 0

    def __add__(self, other: FrameCount) -> FrameCount:
        return FrameCount(self.published + other.published, self.recorded + other.recorded)


def count_bag(recorder: Mapping[str, str], camera: CameraRows, seen: StreamGap) -> FrameCount:
    """Count one bag's frames of `camera` from what the recorder last said about the bag.

    Two witnesses say what was published between the first and the last recorded frame: the
    publisher's message counter as the recorder saw it, and the stamps that the supervisor saw of
    `camera_info`; the larger count is believed.
    """
    for topic in (camera.raw.name, camera.compressed.name):
        recorded = int(recorder.get(topic, "0"))
        if recorded:
            break
    else:
        return FrameCount()
    first_ns, last_ns = (int(recorder.get(f"{topic}.{end}_ns", "0")) for end in ("first", "last"))
    counted = int(recorder.get(f"{topic}.published", "0"))
    return FrameCount(max(counted, seen.between(first_ns, last_ns)), recorded)


def count_bags(
    bags: Iterable[Mapping[str, str]],
    frames: Mapping[str, StreamGap],
    cameras: Mapping[str, CameraRows],
) -> dict[str, FrameCount]:
    """Add the frames of all bags up, by camera; `cameras` says on which topics they are."""
    total = {camera: FrameCount() for camera in frames}
    for bag in bags:
        for camera, seen in frames.items():
            total[camera] += count_bag(bag, cameras[camera], seen)
    return total
