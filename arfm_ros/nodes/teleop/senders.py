"""One person at a time: who else drives, and whether a device speaks with one voice."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from arfm_ros.nodes.arbiter.inputs import publishers_of
from arfm_ros.nodes.ros import topics


class Senders:
    """Counts the publishers of what the device says and of what this node says."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heard: list[Any] = []
        self._own: list[str] = [
            node.resolve_topic_name(row.name)
            for row in (topics.TELEOP_TARGET, topics.TELEOP_ENGAGED)
        ]
        self.trouble = ""

    def watch(self, reader: Any) -> None:
        """Also count who publishes what this reader hears."""
        self._heard.append(reader)

    def look(self) -> str:
        """Return who has to be stopped, '' where there is one of each at most."""
        names = [*self._own, *(str(reader.topic_name) for reader in self._heard)]
        for name in names:
            if self._node.count_publishers(name) > 1:
                found = publishers_of(self._node, name)
                self.trouble = (
                    f"{name} has {len(found)} publishers: {', '.join(dict.fromkeys(found))}; "
                    "stop all but one"
                )
                return self.trouble
        self.trouble = ""
        return ""
