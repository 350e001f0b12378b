"""Write an episode from a thread of its own, so that a slow disk never delays whoever receives."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.labels import LABEL_TOPIC, label_message
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.writer import EpisodeWriter

FLUSH_PERIOD_S = 1.0
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


class Tape:
    """A bounded queue in front of an `EpisodeWriter`; what does not fit is counted, by topic."""

    def __init__(
        self, folder: Path, limit_bytes: int, qos: Mapping[str, OfferedQos] | None = None
    ) -> None:
        self._writer = EpisodeWriter(folder, qos)
        self.folder = self._writer.folder
        self._limit = limit_bytes
        self._queue: deque[Taped] = deque()
        self._queued_bytes = 0
        self._highest_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._error: Exception | None = None
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
        """Queue a message; False when there is no room or the file can take no more."""
        size = len(message.cdr) + MESSAGE_OVERHEAD
        with self._changed:
            if self._closing or self._error or self._queued_bytes + size > self._limit:
                self.dropped[message.topic] += 1
                return False
            self._queue.append(message)
            self._queued_bytes += size
            self._highest_bytes = max(self._highest_bytes, self._queued_bytes)
            self.taken[message.topic] += 1
            self._changed.notify()
        return True

    def label(self, label: Mapping[str, object], stamp_ns: int) -> bool:
        """Queue a label; it is on the disk as soon as what waits before it."""
        type_name, cdr = label_message(label)
        return self.put(Taped(LABEL_TOPIC, type_name, cdr, stamp_ns, stamp_ns))

    def close(self, timeout_s: float) -> Path:
        """Write what is queued, finish the file, return the folder.

        Raises `EpisodeError` when the disk failed or does not keep up within `timeout_s`.
        """
        with self._changed:
            self._closing = True
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
            self._writer.close()
        except Exception as error:  # noqa: BLE001 - thread border: `close` and `failure` pass it on
            self._give_up(error)

    def _write_waiting(self) -> bool:
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(FLUSH_PERIOD_S)
            batch = list(self._queue)
            self._queue.clear()
            closing = self._closing
        for one in batch:
            self._writer.write(
                one.topic,
                one.type_name,
                one.cdr,
                one.log_time_ns,
                one.publish_time_ns,
                one.sequence & 0xFFFFFFFF,
            )
            with self._changed:
                self._queued_bytes -= len(one.cdr) + MESSAGE_OVERHEAD
        if not batch or any(one.topic.endswith(LABEL_TOPIC) for one in batch):
            self._writer.flush()
        return bool(batch) or not closing

    def _give_up(self, error: Exception) -> None:
        saved = self._writer.counts if self._writer.failure else {}
        with self._changed:
            self._error = error
            self._queue.clear()
            self._queued_bytes = 0
            for topic, count in self.taken.items():
                self.dropped[topic] += max(count - saved.get(topic, 0), 0)
