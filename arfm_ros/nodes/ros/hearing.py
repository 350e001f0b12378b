"""Hear every publisher of a topic, whatever quality of service it offers.

DDS connects a reader only with publishers that offer at least what it asks for. One that asks for
reliable delivery and latched values is deaf to a joystick's driver, one that asks for less misses
what was sent before it began or what got lost. So several readers ask for different things, and
each message counts once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSCompatibility, qos_check_compatible

REMEMBERED = 512  # messages of which a second copy is recognised: the history of all readers


class Once:
    """Tell the first copy of a message from those that other readers bring."""

    def __init__(self) -> None:
        self._order: deque[tuple[int, int]] = deque()
        self._known: set[tuple[int, int]] = set()

    def is_new(self, sent_ns: int, number: int) -> bool:
        """Return whether no message with this time of sending and sequence number came before."""
        key = (sent_ns, number)
        if key in self._known:
            return False
        self._known.add(key)
        self._order.append(key)
        if len(self._order) > REMEMBERED:
            self._known.discard(self._order.popleft())
        return True


class Unexecuted(CallbackGroup):  # type: ignore[misc]
    """What is in it no executor handles: it is polled."""

    def can_execute(self, entity: Any) -> bool:
        """Say no."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Say no."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing has begun."""


@dataclass(frozen=True, slots=True)
class How:
    """How messages are handed over.

    `raw`: as CDR bytes. `late`: only the first reader is made at once, the others when a publisher
    turns up that it cannot hear: they cost something for each message of a fast topic. With a
    `group` that is `Unexecuted` nothing is handed over but by `Hearing.poll`. `timed`: with the
    time at which the message came.
    """

    raw: bool = False
    late: bool = False
    group: CallbackGroup | None = None
    timed: bool = False


class Hearing:
    """The readers of one topic, strictest first: `profiles` are what they ask for."""

    def __init__(
        self,
        node: Any,
        topic: tuple[Any, str],
        callback: Callable[..., None],
        profiles: Sequence[Any],
        how: How = How(),
    ) -> None:
        self._node, self._callback, self._how = node, callback, how
        self._type, self._name = topic
        self._once = Once()
        self._readers: list[Any] = []
        self._missing = list(profiles)
        self._add(1 if how.late else len(profiles))

    @property
    def topic_name(self) -> str:
        """Resolved name of the topic."""
        return str(self._readers[0].topic_name)

    def get_publisher_count(self) -> int:
        """Count who publishes the topic: each of them is heard."""
        return int(self._node.count_publishers(self.topic_name))

    def poll(self) -> None:
        """Hand over what has come, in the calling thread; no executor may handle the readers.

        At most what a reader keeps: a publisher that is faster than this thread does not hold it.
        """
        for reader in self._readers:
            with reader.handle:
                take = partial(reader.handle.take_message, reader.msg_type, self._how.raw)
                for taken in islice(iter(take, None), reader.qos_profile.depth):
                    self._receive(*taken)

    def destroy(self) -> None:
        """Stop hearing."""
        self._missing.clear()
        while self._readers:
            self._node.destroy_subscription(self._readers.pop())

    def _add(self, count: int) -> None:
        for _ in range(min(count, len(self._missing))):
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_deaf)
            made = self._node.create_subscription(
                self._type,
                self._name,
                self._receive,
                self._missing.pop(0),
                callback_group=self._how.group,
                event_callbacks=events,
                raw=self._how.raw,
            )
            self._readers.append(made)

    def _on_deaf(self, event: Any) -> None:
        self._add(len(self._missing))

    def _receive(self, message: Any, info: Any) -> None:
        only = len(self._readers) == 1  # which never brings a message twice
        if only or self._once.is_new(
            info["source_timestamp"], info["publication_sequence_number"]
        ):
            when = (info["received_timestamp"],) if self._how.timed else ()
            self._callback(message, *when)


def lost_publishers(node: Any) -> list[str]:
    """List publishers that no reader of `node` hears: the topic, who it is, and what differs."""
    readers: dict[str, list[Any]] = {}
    for reader in node.subscriptions:
        readers.setdefault(reader.topic_name, []).append(reader)
    return [text for name, those in readers.items() for text in _lost(node, name, those)]


def _lost(node: Any, name: str, readers: Sequence[Any]) -> Iterator[str]:
    wanted = _type_name(readers[0].msg_type)
    for offer in node.get_publishers_info_by_topic(name):
        who = f"{offer.node_namespace.rstrip('/')}/{offer.node_name}"
        if offer.topic_type != wanted:
            yield f"{name}: {who} publishes {offer.topic_type}, this node needs {wanted}"
            continue
        found = [qos_check_compatible(offer.qos_profile, one.qos_profile) for one in readers]
        if all(compatibility == QoSCompatibility.ERROR for compatibility, _ in found):
            reason = found[0][1].removeprefix("ERROR: ").strip().rstrip(";")
            yield f"{name}: {who} is not heard, set its QoS: {reason}"


def _type_name(kind: Any) -> str:
    package, group = kind.__module__.split(".")[:2]
    return f"{package}/{group}/{kind.__name__}"
