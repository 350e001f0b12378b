"""What the recorder decides: which message belongs to the episode, and how many there were."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.reader import deserialized
from arfm_ros.episodes.scan import Record
from arfm_ros.episodes.write.ledger import Ledger
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.tape import Tape, Taped
from arfm_ros.episodes.write.ticket import Ticket
from arfm_ros.nodes.recorder.losses import Losses
from arfm_ros.nodes.ros.topics import CHUNK_INFO, INSTRUCTION, TASK_STATE, Qos
from arfm_ros.wire.cdr import Cursor, header_stamp_ns
from arfm_ros.wire.definitions import STORE, has_header

SKEW_NS = 1_000_000_000  # beyond it the publisher's clock is another one than ours
FOREVER = 2**63 - 1
BUNDLE_KEY = "bundle_sha256"  # in policy/chunk_info and in what an episode says of itself


class Session:
    """An episode holds exactly the messages that were published in [start, stop].

    Times are the publisher's (the receiver's where the clocks disagree). Latched values from
    before the start are written again at the start, so that an episode explains itself. Messages
    outside of episodes are counted too. Called from the intake's thread and from the node's.
    """

    def __init__(self, limit_bytes: int, latched: Collection[str]) -> None:
        self._limit, self._latched_names = limit_bytes, frozenset(latched)
        self._lock = threading.Lock()
        self._ledger = Ledger()
        self._tape: Tape | None = None
        self._start_ns, self._stop_ns = 0, 0
        self._latched: dict[str, Taped] = {}
        self._task_state: Taped | None = None
        self._bundle = ""  # hash of the one that last made a chunk
        self.losses = Losses()
        self.recording = False
        self.episodes = 0
        self.failure = ""  # latched until the next start

    @property
    def folder(self) -> Path | None:
        """The folder of the running or of the last episode; it is there once that is closed."""
        return self._tape.folder if self._tape else None

    @property
    def dropped(self) -> int:
        """Messages of the running or last episode that did not reach the file."""
        return sum(self._tape.dropped.values()) if self._tape else 0

    def receive(self, message: Taped) -> None:
        """Take a message that arrived: count it, and write it where it belongs to the episode."""
        published = message.publish_time_ns
        if abs(message.log_time_ns - published) > SKEW_NS:
            published = message.log_time_ns
        stamp = header_stamp_ns(message.cdr) if has_header(message.type_name) else published
        now_s = time.monotonic()
        bundle = _bundle(message) if message.topic.endswith("/" + CHUNK_INFO.name) else ""
        with self._lock:
            latched = (
                message.topic in self._latched_names
            )  # may be delivered long after it was sent
            begun = latched or published >= self._start_ns
            wanted = self.recording and begun and published <= self._stop_ns
            taped = wanted and self._tape is not None and self._tape.put(message)
            self._ledger.receive(message.topic, message.sequence, stamp, now_s, wanted, taped)
            if message.topic.endswith("/" + TASK_STATE.name):
                self._task_state = message
            if bundle and bundle != self._bundle:  # a swap in an episode is told in it
                self._bundle = bundle
                if wanted and self._tape is not None:
                    self._tape.tell({BUNDLE_KEY: bundle}, message.log_time_ns)
            if latched:
                self._latched[message.topic] = message
            # Inside: the next start would keep the failure of the tape before.
            if self._tape is not None and self._tape.failure:
                self.failure = self._tape.failure

    def start(
        self, folder: Path, qos: Mapping[str, Qos], about: Mapping[str, object] | None = None
    ) -> None:
        """Begin an episode: its folder and what it says of itself are on the disk afterwards.

        Raises `EpisodeError` when one is running or the folder cannot be.
        """
        if self.recording:
            raise EpisodeError(f"already recording into {self.folder}: call recorder/stop first")
        offered = {n: OfferedQos(q.reliable, 10, q.latched) for n, q in qos.items()}
        info = {**(about or {}), "task": self.task(), "instruction": self._instruction()}
        if self._bundle:
            info[BUNDLE_KEY] = self._bundle
        tape = Tape(folder, self._limit, offered, info)
        with self._lock:
            self._ledger.begin_episode()
            self.losses.clear()
            self._tape, self.failure = tape, ""
            self._start_ns, self._stop_ns = time.time_ns(), FOREVER
            for name, last in self._latched.items():
                tape.put(Taped(name, last.type_name, last.cdr, self._start_ns, self._start_ns))
            self.recording = True
            self.episodes += 1

    def label(self, label: Mapping[str, object]) -> Ticket:
        """Write a label into the running episode; the ticket tells when it is on the disk."""
        with self._lock:
            if not self.recording or self._tape is None:
                raise EpisodeError(self._none())
            return self._tape.label(label, time.time_ns())

    def tell(self, info: Mapping[str, object]) -> None:
        """Write what becomes known of the running episode; nothing where none is."""
        with self._lock:
            if self.recording and self._tape is not None:
                self._tape.tell(info, time.time_ns())

    def look(self) -> bool:
        """See whether anything got lost; note it in the bag. Returns whether something is new."""
        with self._lock:
            if not self.recording or self._tape is None:
                return False
            news = self.losses.look(self._ledger.topics, self._tape.dropped, time.monotonic())
            if news:
                self._tape.label(news, time.time_ns())
            return bool(news)

    def end(self) -> None:
        """Fix the end of the episode: what is published from now on is no longer part of it."""
        with self._lock:
            if not self.recording:
                raise EpisodeError(self._none())
            self._stop_ns = time.time_ns()

    def close(self, timeout_s: float, why: str) -> Path:
        """Finish the file; `why` it ended. Raises `EpisodeError` when the disk failed."""
        tape = self._tape
        if tape is None:
            raise EpisodeError("no episode was recorded")
        with self._lock:
            tape.tell({"stopped_by": why}, self._stop_ns)
            if tape.dropped and not tape.failure:
                tape.label({"dropped": dict(tape.dropped)}, self._stop_ns)
            self.recording = False
        held_up = self.losses.held_up_s
        reasons = (f"the recorder did not run for {held_up:.1f} s",) if held_up else ()
        try:
            return tape.close(timeout_s, reasons)
        except EpisodeError as error:
            self.failure = str(error)
            raise

    def finish(self, timeout_s: float) -> None:
        """Wait for a close that something interrupted. Raises `EpisodeError` as that does."""
        if self._tape is not None and not self.recording:
            self._tape.close(timeout_s)

    def task(self) -> str:
        """Name the task that the simulator last reported; empty without one."""
        if self._task_state is None:
            return ""
        message = STORE.deserialize_cdr(self._task_state.cdr, self._task_state.type_name)
        return str(message.status[0].name) if message.status else ""

    def _none(self) -> str:
        why = f" (the last one ended: {self.failure})" if self.failure else ""
        return f"no episode is being recorded{why}: call recorder/start first"

    def _instruction(self) -> str:
        ending = "/" + INSTRUCTION.name
        for name, last in self._latched.items():
            if name.endswith(ending):
                return Cursor(last.cdr).text()
        return ""

    def summary(self) -> dict[str, object]:
        """Say what is being recorded: for /diagnostics."""
        tape = self._tape
        return {
            "recording": str(self.recording).lower(),
            "episodes": self.episodes,
            "folder": tape.folder if tape else "",
            "bytes": tape.bytes_written if tape else 0,
            "dropped": self.dropped,
            "missing": self.losses.text(),
            "queue_bytes_max": tape.highest_bytes if tape else 0,
            "put_p50_ms": tape.held_up_ms(0.5) if tape else 0.0,
            "put_p999_ms": tape.held_up_ms(0.999) if tape else 0.0,
            "start_ns": self._start_ns,
            "stop_ns": 0 if self._stop_ns == FOREVER else self._stop_ns,
        }

    def counts(self, namespace: str) -> dict[str, object]:
        """Give the counts per topic, names relative to the namespace: for recorder/state.

        `<topic>` recorded in the running or last episode, of `.published` (what the publisher sent
        between the first and the last of them), at `.first_ns` to `.last_ns`; since start-up
        `.received` and `.lost`.
        """
        values: dict[str, object] = {}
        saved = self._tape.written if self._tape is not None and self._tape.failure else None
        with self._lock:
            for name, row in self._ledger.topics.items():
                short = name.removeprefix(namespace)
                values |= {
                    short: row.episode.count if saved is None else saved.get(name, 0),
                    f"{short}.published": row.episode.published,
                    f"{short}.first_ns": row.episode.first_ns,
                    f"{short}.last_ns": row.episode.last_ns,
                    f"{short}.received": row.total.count,
                    f"{short}.lost": row.total.lost,
                }
        return values


def _bundle(message: Taped) -> str:
    """Read whose chunk this is; "" where it does not say."""
    record = Record(message.topic, message.type_name, memoryview(message.cdr), 0, 0, 0)
    try:
        said = deserialized(record)
    except EpisodeError:
        return ""
    pairs = {pair.key: pair.value for status in said.status for pair in status.values}
    return str(pairs.get(BUNDLE_KEY, ""))
