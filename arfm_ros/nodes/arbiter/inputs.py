"""What the arbiter hears: stamps in the steady clock's time, and inputs with one sender."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rclpy.node import Node

from arfm_ros.nodes.ros import topics

NS = 1_000_000_000
KEPT_STATES = topics.Qos(reliable=False, depth=50)  # 1 kHz between two ticks, one of them late


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


def publishers_of(node: Node, topic_name: str) -> list[str]:
    """Name the nodes that publish on a topic (its resolved name), one entry a publisher."""
    infos = node.get_publishers_info_by_topic(topic_name)
    return sorted(f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in infos)


class StateTopics:
    """Where the robot's state comes from: several may publish parts of it, not two the same.

    All that came is handed over when asked for, as bytes: joint states come up to 1000 times a
    second, and an executor that wakes for each of them costs more than what they are for.
    """

    def __init__(
        self, node: Node, names: Sequence[str], callback: Callable[[str, bytes], None]
    ) -> None:
        self._node = node
        rows = {name: replace(topics.JOINT_STATES.at(name), reader=KEPT_STATES) for name in names}
        self._readers = [
            topics.polled(node, row, partial(callback, name), raw=True)
            for name, row in rows.items()
        ]

    def poll(self) -> None:
        """Hand over what came since the last time."""
        for reader in self._readers:
            reader.poll()

    def contradiction(self, fault: str) -> str:
        """Name who publishes beside whom, where a state that jumped says that they disagree."""
        if "jumped" not in fault:
            return ""
        for reader in self._readers:
            if reader.get_publisher_count() > 1:
                names = publishers_of(self._node, reader.topic_name)
                return (
                    f"{reader.topic_name} has {len(names)} publishers that contradict each other: "
                    f"{', '.join(names)}; stop the one that is wrong"
                )
        return ""


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
        found = publishers_of(self._node, self._readers[row.name].topic_name)
        names = ", ".join(dict.fromkeys(found))
        return f"{row.name} has {len(found)} publishers: {names}; stop all but one"

    def refusals(self) -> list[str]:
        """List the refusals of all inputs."""
        rows = (topics.ACTION_CHUNK, topics.TELEOP_ENGAGED, topics.TELEOP_TARGET)
        found = [self.refusal(row) for row in rows if row.name in self._readers]
        return [text for text in found if text]
