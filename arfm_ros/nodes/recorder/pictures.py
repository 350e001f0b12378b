"""Record raw images of a camera whose driver compresses none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rclpy.node import Node

from arfm_ros.nodes.ros.robot_topics import CameraRows
from arfm_ros.nodes.ros.topics import Topic

LOOKS = 3  # that only raw images are published, before they are recorded


class RawInstead:
    """Cameras of which compressed images were asked for."""

    def __init__(
        self, node: Node, cameras: Iterable[CameraRows], add: Callable[[Topic], str]
    ) -> None:
        self._node, self._add = node, add
        self._looks = dict.fromkeys(cameras, 0)

    def look(self) -> None:
        """Take the raw images of a camera that publishes nothing else."""
        for camera in list(self._looks):
            names = (camera.compressed.name, camera.raw.name)
            full = (str(self._node.resolve_topic_name(name)) for name in names)
            compressed, raw = map(self._node.count_publishers, full)
            self._looks[camera] = self._looks[camera] + 1 if raw and not compressed else 0
            if self._looks[camera] >= LOOKS:
                del self._looks[camera]
                name = self._add(camera.raw)
                self._node.get_logger().warning(
                    f"nobody publishes {names[0]}: recording {name}, about 10 times the size"
                )
