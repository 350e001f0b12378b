"""Receive serialized messages of many topics cheaply, losing none.

The middleware's own threads put what arrives into each reader's history; one thread of ours takes
everything out of all of them every few milliseconds. So a thousand messages a second cost one
wake-up per period instead of one executor round per message, and times of arrival stay exact,
because they are the middleware's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from arfm_ros.episodes.tape import Taped
from arfm_ros.nodes.topics import Qos, Topic, interface

# Messages that a reader keeps while we are away. Fast DDS holds on to the memory, so fewer images:
# 3 s at 30 Hz; 0.8 s of a 500 Hz topic.
HISTORY = 400
IMAGE_HISTORY = 90


class DrainedGroup(CallbackGroup):
    """A group whose subscriptions no executor touches."""

    def can_execute(self, entity: Any) -> bool:
        """Refuse always."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Refuse always."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing ever ran."""


class Intake:
    """Subscribe to topics and hand every message to `receive`, from one thread."""

    def __init__(self, node: Node, receive: Callable[[Taped], None], period_s: float) -> None:
        self._node, self._receive, self._period_s = node, receive, period_s
        self._group = DrainedGroup()
        self._lock = threading.Lock()  # guards the list against `adapt` while draining
        self._rows: dict[str, tuple[Topic, Qos, Any]] = {}  # resolved name -> what and how
        self._drained = threading.Condition()
        self._drained_at = 0.0
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    @property
    def names(self) -> list[str]:
        """Resolved names of the topics subscribed to."""
        return list(self._rows)

    def qos(self, name: str) -> Qos:
        """Tell how a topic is subscribed to."""
        return self._rows[name][1]

    def publishers(self, name: str) -> int:
        """Count who publishes a topic."""
        return int(self._rows[name][2].get_publisher_count())

    def add(self, topic: Topic) -> str:
        """Subscribe as the table says the publisher offers it; return the resolved name."""
        depth = IMAGE_HISTORY if topic.type_name.endswith("Image") else HISTORY
        qos = Qos(topic.writer.reliable, depth, topic.writer.latched)
        name = str(self._node.resolve_topic_name(topic.name))
        with self._lock:
            if name not in self._rows:
                self._rows[name] = (topic, qos, self._subscribe(topic, qos))
        return name

    def adapt(self) -> None:
        """Subscribe anew where a publisher offers less than we ask for: it would not be heard."""
        for name, (topic, qos, old) in list(self._rows.items()):
            if not self._node.count_publishers(name) > old.get_publisher_count():
                continue  # all of them are heard
            offers = self._node.get_publishers_info_by_topic(name)
            fitting = _fitting(qos, [offer.qos_profile for offer in offers])
            if fitting == qos:
                continue
            self._node.get_logger().info(
                f"{name}: publisher offers less, subscribing as {fitting}"
            )
            new = self._subscribe(topic, fitting)
            with self._lock:
                self._rows[name] = (topic, fitting, new)
            self._node.destroy_subscription(old)

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def drained_since(self, at_monotonic_s: float, timeout_s: float) -> bool:
        """Wait until everything that had arrived at an instant was handed on."""
        with self._drained:
            return self._drained.wait_for(
                lambda: self._drained_at >= at_monotonic_s or self.error is not None, timeout_s
            )

    def close(self) -> None:
        """Stop draining."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _subscribe(self, topic: Topic, qos: Qos) -> Any:
        return self._node.create_subscription(
            interface(topic.type_name),
            topic.name,
            _never,
            qos.profile(),
            callback_group=self._group,
            raw=True,
        )

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._period_s):
                begin = time.monotonic()
                self._drain()
                with self._drained:
                    self._drained_at = begin
                    self._drained.notify_all()
        except Exception as error:  # noqa: BLE001 - thread border: the node raises it again
            with self._drained:
                self.error = error
                self._drained.notify_all()

    def _drain(self) -> None:
        with self._lock:
            for name, (topic, _, reader) in self._rows.items():
                for cdr, info in _taken(reader):
                    self._receive(_taped(name, topic.type_name, cdr, info))


def _taken(reader: Any) -> Iterator[tuple[bytes, dict[str, int]]]:
    with reader.handle:
        while (taken := reader.handle.take_message(reader.msg_type, True)) is not None:
            if reader.handle.get_publisher_count() > 1:
                taken[1]["publication_sequence_number"] = 0  # each of them counts for itself
            yield taken


def _taped(name: str, type_name: str, cdr: bytes, info: dict[str, int]) -> Taped:
    received = info["received_timestamp"] or time.time_ns()
    sent = info["source_timestamp"] or received
    return Taped(name, type_name, cdr, received, sent, info["publication_sequence_number"] or 0)


def _fitting(qos: Qos, offers: Sequence[Any]) -> Qos:
    """Ask for no more than the weakest publisher offers (latched values need a latched one)."""
    reliable = qos.reliable and all(o.reliability == ReliabilityPolicy.RELIABLE for o in offers)
    latched = qos.latched and all(o.durability == DurabilityPolicy.TRANSIENT_LOCAL for o in offers)
    return Qos(reliable, qos.depth, latched)


def _never(message: object) -> None:
    raise AssertionError("this subscription is drained, not executed")
