"""What the arbiter hears: stamps in the steady clock's time, and inputs with one sender."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from arfm_ros.nodes import topics

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """The same instant on two clocks: ROS time only compares stamps, steady time does the rest."""

    ros_ns: int
    steady_ns: int

    def steady(self, stamp_ns: int) -> int:
        """Return the steady time of a ROS stamp."""
        return self.steady_ns - (self.ros_ns - stamp_ns)

    def ros(self, steady_ns: int) -> int:
        """Invert `steady`."""
        return self.ros_ns - (self.steady_ns - steady_ns)


def moment(node: Node) -> Moment:
    """Read both clocks."""
    return Moment(int(node.get_clock().now().nanoseconds), time.monotonic_ns())


class SoleSenders:
    """Inputs that move the arm: each is heard while exactly one node publishes it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._readers: dict[str, Any] = {}

    def listen(self, row: topics.Topic, callback: Callable[[Any, str], None]) -> None:
        """Subscribe; the callback gets the message and why it must not count, '' if it does."""

        def receive(message: Any) -> None:
            callback(message, self.refusal(row))

        self._readers[row.name] = topics.subscription(self._node, row, receive)

    def refusal(self, row: topics.Topic) -> str:
        """Why nothing on a topic counts now: who publishes it beside whom."""
        if self._readers[row.name].get_publisher_count() <= 1:
            return ""
        infos = self._node.get_publishers_info_by_topic(self._readers[row.name].topic_name)
        names = sorted({f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in infos})
        return f"{row.name} has {len(infos)} publishers: {', '.join(names)}; stop all but one"

    def refusals(self) -> list[str]:
        """List the refusals of all inputs."""
        rows = (topics.ACTION_CHUNK, topics.TELEOP_ENGAGED, topics.TELEOP_TARGET)
        found = [self.refusal(row) for row in rows if row.name in self._readers]
        return [text for text in found if text]
