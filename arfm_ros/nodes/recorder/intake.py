"""Receive serialized messages of many topics cheaply, losing none.

The middleware's own threads put what arrives into each reader's history; one thread of ours takes
everything out of all of them every few milliseconds. So a thousand messages a second cost one
wake-up per period instead of one executor round per message, and times of arrival stay exact,
because they are the middleware's.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from arfm_ros.episodes.write.tape import Taped
from arfm_ros.nodes.ros.hearing import Once
from arfm_ros.nodes.ros.topics import Qos, Topic, interface

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


@dataclass(slots=True)
class Reading:
    """How one topic is read: as its publisher should offer it, and beside that with less."""

    topic: Topic
    asked: tuple[Qos, ...]  # strictest first
    readers: list[Any] = field(default_factory=list)
    once: Once = field(default_factory=Once)

    @property
    def qos(self) -> Qos:
        """What its weakest reader asks for, which is what is known of the publishers."""
        return self.asked[len(self.readers) - 1]


class Intake:
    """Subscribe to topics and hand every message to `receive`, from one thread."""

    def __init__(self, node: Node, receive: Callable[[Taped], None], period_s: float) -> None:
        self._node, self._receive, self._period_s = node, receive, period_s
        self._group = DrainedGroup()
        self._lock = threading.Lock()  # guards the list against `adapt` while draining
        self._rows: dict[str, Reading] = {}  # by resolved name
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
        return self._rows[name].qos

    def add(self, topic: Topic) -> str:
        """Subscribe as the table says the publisher offers it; return the resolved name."""
        depth = IMAGE_HISTORY if topic.type_name.endswith("Image") else HISTORY
        qos = Qos(topic.writer.reliable, depth, topic.writer.latched)
        name = str(self._node.resolve_topic_name(topic.name))
        with self._lock:
            if name not in self._rows:
                self._rows[name] = Reading(topic, qos.down())
                self._read_more(self._rows[name])
        return name

    def adapt(self) -> None:
        """Read with less beside it where a publisher offers less: it would not be heard."""
        for name, row in self._rows.items():
            while len(row.readers) < len(row.asked) and self._deaf(name, row):
                with self._lock:
                    self._read_more(row)
                self._node.get_logger().info(f"{name}: a publisher offers less, reading {row.qos}")

    def _deaf(self, name: str, row: Reading) -> bool:
        """Say whether somebody publishes whom no reader hears."""
        if self._node.count_publishers(name) <= row.readers[-1].get_publisher_count():
            return False  # the weakest reader hears all of them
        return any(
            not any(_hears(reader, offer.qos_profile) for reader in row.readers)
            for offer in self._node.get_publishers_info_by_topic(name)
        )

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

    def _read_more(self, row: Reading) -> None:
        reader = self._node.create_subscription(
            interface(row.topic.type_name),
            row.topic.name,
            _never,
            row.asked[len(row.readers)].profile(),
            callback_group=self._group,
            raw=True,
        )
        row.readers.append(reader)

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
            for name, row in self._rows.items():
                for cdr, info in _taken(row):
                    self._receive(_taped(name, row.topic.type_name, cdr, info))


def _taken(row: Reading) -> Iterator[tuple[bytes, dict[str, int]]]:
    """Take what has arrived, each message once; its number counts only where one publishes."""
    for cdr, info, publishers in itertools.chain.from_iterable(map(_emptied, row.readers)):
        if row.once.is_new(info["source_timestamp"], info["publication_sequence_number"]):
            if publishers > 1:
                info["publication_sequence_number"] = 0  # each of them counts for itself
            yield cdr, info


def _emptied(reader: Any) -> Iterator[tuple[bytes, dict[str, int], int]]:
    with reader.handle:
        while (taken := reader.handle.take_message(reader.msg_type, True)) is not None:
            yield *taken, reader.handle.get_publisher_count()


def _taped(name: str, type_name: str, cdr: bytes, info: dict[str, int]) -> Taped:
    received = info["received_timestamp"] or time.time_ns()
    sent = info["source_timestamp"] or received
    return Taped(name, type_name, cdr, received, sent, info["publication_sequence_number"] or 0)


def _hears(reader: Any, offered: Any) -> bool:
    return bool(qos_check_compatible(offered, reader.qos_profile)[0] != QoSCompatibility.ERROR)


def _never(message: object) -> None:
    raise AssertionError("this subscription is drained, not executed")
