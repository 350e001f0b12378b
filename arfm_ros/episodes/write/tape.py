"""Write an episode from a thread of its own, so that a slow disk never delays whoever receives."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.labels import LABEL_TOPIC, label_message
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.info import INFO_TOPIC, info_message
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.ticket import Ticket
from arfm_ros.episodes.write.writer import EpisodeWriter

LOOK_S = 1.0  # between two looks at an empty queue
MESSAGE_OVERHEAD = 200  # bytes of Python beside the content, so that many small ones count too


@dataclass(frozen=True, slots=True)
class Taped:
    """One serialized message on its way to the file."""

    topic: str
    type_name: str
    cdr: bytes
    log_time_ns: int
    publish_time_ns: int
    sequence: int = 0
    ticket: Ticket | None = None  # settled once the message is on the disk

    @property
    def size(self) -> int:
        """Bytes that it takes in the queue."""
        return len(self.cdr) + MESSAGE_OVERHEAD


class Tape:
    """A bounded queue in front of an `EpisodeWriter`; what does not fit is counted, by topic.

    Labels are written before all else that waits, and put on the disk at once.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        qos: Mapping[str, OfferedQos] | None = None,
        info: Mapping[str, object] | None = None,
    ) -> None:
        self._writer = EpisodeWriter(folder, qos, Making(info=dict(info or {})))
        self.folder = self._writer.folder
        if info:
            self._writer.tell(info, time.time_ns())
            self._writer.flush()
        self._limit = limit_bytes
        self._queue: deque[Taped] = deque()
        self._urgent: deque[Taped] = deque()
        self._queued_bytes = 0
        self._highest_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._reasons: tuple[str, ...] = ()
        self._tickets: list[Ticket] = []  # of labels that are written and not yet on the disk
        self._error: Exception | None = None
        self._held_ns = [0] * 64  # calls of `put` by the bits of their nanoseconds
        self.dropped: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="tape", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str:
        """Why nothing is written any more; empty while all is well."""
        return str(self._error) if self._error is not None else ""

    @property
    def bytes_written(self) -> int:
        """Size of the file."""
        return self._writer.bytes_written

    @property
    def written(self) -> dict[str, int]:
        """Messages in the file per topic; complete once the tape is closed."""
        return self._writer.counts

    @property
    def highest_bytes(self) -> int:
        """The most that ever waited in the queue."""
        return self._highest_bytes

    def put(self, message: Taped) -> bool:
        """Queue a message; False when there is no room or the file can take no more.

        There is always room for one with a ticket.
        """
        begin_ns = time.perf_counter_ns()
        try:
            return self._put(message)
        finally:
            self._held_ns[(time.perf_counter_ns() - begin_ns).bit_length()] += 1

    def held_up_ms(self, share: float) -> float:
        """Tell how long `share` of the calls of `put` took at most, to a factor of two."""
        total, seen = sum(self._held_ns), 0
        for bits, count in enumerate(self._held_ns):
            seen += count
            if seen and seen >= share * total:
                return (1 << bits) / 1e6
        return 0.0

    def _put(self, message: Taped) -> bool:
        with self._changed:
            urgent = message.topic.endswith(LABEL_TOPIC)
            full = self._queued_bytes + message.size > self._limit and message.ticket is None
            if self._closing or self._error or full:
                self.dropped[message.topic] += 1
                return False
            (self._urgent if urgent else self._queue).append(message)
            self._queued_bytes += message.size
            self._highest_bytes = max(self._highest_bytes, self._queued_bytes)
            self.taken[message.topic] += 1
            self._changed.notify()
        return True

    def label(self, label: Mapping[str, object], stamp_ns: int) -> Ticket:
        """Queue a label; the ticket tells when it is on the disk."""
        type_name, cdr = label_message(label)
        ticket = Ticket("the label")
        if not self.put(Taped(LABEL_TOPIC, type_name, cdr, stamp_ns, stamp_ns, ticket=ticket)):
            ticket.settle(self.failure or "the episode is being closed")
        return ticket

    def tell(self, info: Mapping[str, object], stamp_ns: int) -> None:
        """Queue what the episode says about itself."""
        type_name, cdr = info_message(info)
        self.put(Taped(INFO_TOPIC, type_name, cdr, stamp_ns, stamp_ns))

    def close(self, timeout_s: float, reasons: tuple[str, ...] = ()) -> Path:
        """Write what is queued, finish the episode, return its folder.

        `reasons`: what is known to be wrong with it. Raises `EpisodeError` when the disk failed
        or does not keep up within `timeout_s`; then it is still finished if the disk goes on.
        """
        with self._changed:
            if not self._closing:
                self._closing, self._reasons = True, reasons
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise EpisodeError(
                f"the disk under {self.folder} is too slow: {self._queued_bytes} bytes still wait "
                f"after {timeout_s:g} s; record less ('images: compressed') or set another 'out'"
            )
        if self._error is not None:
            raise EpisodeError(str(self._error)) from self._error
        return self.folder

    def _run(self) -> None:
        try:
            while self._write_waiting():
                pass
            self._writer.close(self._reasons + self._queue_losses())
        except Exception as error:  # noqa: BLE001 - thread border: `close` and `failure` pass it on
            self._give_up(error)

    def _write_waiting(self) -> bool:
        with self._changed:
            if not self._queue and not self._urgent and not self._closing:
                left_s = self._writer.due_s - time.monotonic()
                self._changed.wait(min(max(left_s, 0.0), LOOK_S))
            batch = list(self._queue)
            self._queue.clear()
            closing = self._closing
        self._write_urgent()
        for one in batch:
            self._write(one)
            if self._urgent:
                self._write_urgent()
        self._writer.flush_if_due()
        return bool(batch) or bool(self._urgent) or not closing

    def _write_urgent(self) -> None:
        while self._urgent:
            one = self._urgent.popleft()
            if one.ticket is not None:
                self._tickets.append(one.ticket)
            self._write(one)
            if not self._urgent:
                self._writer.flush()
        while self._tickets:
            self._tickets.pop().settle()

    def _write(self, one: Taped) -> None:
        self._writer.write(
            one.topic,
            one.type_name,
            one.cdr,
            one.log_time_ns,
            one.publish_time_ns,
            one.sequence & 0xFFFFFFFF,
        )
        with self._changed:
            self._queued_bytes -= one.size

    def _queue_losses(self) -> tuple[str, ...]:
        return tuple(f"{name}: {n} messages found no room" for name, n in self.dropped.items())

    def _give_up(self, error: Exception) -> None:
        saved = self._writer.counts if self._writer.failure else {}
        with self._changed:
            self._error = error
            waiting = [one.ticket for one in self._urgent if one.ticket is not None]
            self._queue.clear()
            self._urgent.clear()
            self._queued_bytes = 0
            for topic, count in self.taken.items():
                self.dropped[topic] += max(count - saved.get(topic, 0), 0)
        for ticket in (*self._tickets, *waiting):
            ticket.settle(str(error))
        if not self._writer.failure:  # a message that cannot be written; what came before can
            self._finish_what_is_there(error)

    def _finish_what_is_there(self, error: Exception) -> None:
        try:
            self._writer.close((f"ended early: {error}",))
        except EpisodeError:
            return  # it is left as a partial one, for `arfm episodes recover`
