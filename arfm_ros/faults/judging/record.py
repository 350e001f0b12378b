"""What the witness wrote, as arrays over the steady time of sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message

from arfm_ros.faults.inject import wiring
from arfm_ros.faults.witness import HEAD
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.nodes.ros.verdict import diagnostics_to_verdict

F64 = NDArray[np.float64]
NS = 1e9
INTRUDER = "intruder"  # frame_id of what a second publisher of the suite sends


@dataclass(frozen=True, slots=True)
class Motion:
    """Joint positions [N, 7] and velocities [N, 7] with their times, in steady s and by stamp."""

    sent_s: F64
    stamp_s: F64
    position: F64
    velocity: F64
    came_s: F64  # at the witness, and so about when they came at anybody

    def between(self, begin_s: float, end_s: float) -> Motion:
        """Return what was sent in begin..end."""
        inside = (self.sent_s >= begin_s) & (self.sent_s <= end_s)
        return Motion(
            self.sent_s[inside],
            self.stamp_s[inside],
            self.position[inside],
            self.velocity[inside],
            self.came_s[inside],
        )


@dataclass(frozen=True, slots=True)
class Word:
    """Something that a node said: steady s, which node, its level, message and values."""

    at_s: float
    text: str
    node: str = ""
    level: int = 0
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """Everything of one trial."""

    target: Motion
    command: Motion
    arm: Motion
    intruder_s: Sequence[float]
    authority: Sequence[Word]
    results: Sequence[Word]
    health: Sequence[Word]
    estop_s: Sequence[float]
    passed: Sequence[tuple[float, float]] = ()  # joint states of the relay: steady s, and stamp


class Heard(NamedTuple):
    """A message with the times when it was sent and when it came, in steady s."""

    sent_s: float
    message: Any
    came_s: float


class Reader:
    """Read the witness's file as it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def take(self) -> Record:
        """Return what was written since the last call."""
        rows: list[list[Heard]] = [[] for _ in wiring.WITNESSED]
        kinds = [topics.interface(row.type_name) for row in wiring.WITNESSED]
        data = self._rest()
        at = 0
        while at + HEAD.size <= len(data):
            number, sent_ns, came_ns, length = HEAD.unpack_from(data, at)
            if at + HEAD.size + length > len(data):
                break
            at += HEAD.size
            message = deserialize_message(data[at : at + length], kinds[number])
            rows[number].append(Heard(sent_ns / NS, message, came_ns / NS))
            at += length
        self._at += at
        return _record(rows)

    def skip(self) -> None:
        """Forget what was written until now."""
        self.take()

    def _rest(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._at)
            return file.read()


def _record(rows: list[list[Heard]]) -> Record:
    targets = rows[wiring.TARGET]
    own = [row for row in targets if row.message.header.frame_id != INTRUDER]
    return Record(
        target=_motion(own),
        command=_motion(rows[wiring.COMMAND]),
        arm=_motion(rows[wiring.ARM]),
        intruder_s=[at_s for at_s, one, _ in targets if one.header.frame_id == INTRUDER],
        authority=[Word(at_s, one.data) for at_s, one, _ in rows[wiring.AUTHORITY]],
        results=[_verdict(at_s, one) for at_s, one, _ in rows[wiring.RESULT]],
        health=[word for at_s, one, _ in rows[wiring.HEALTH] for word in _words(at_s, one)],
        estop_s=[at_s for at_s, one, _ in rows[wiring.ESTOP] if one.data],
        passed=[
            (row.came_s, time_to_ns(row.message.header.stamp) / NS) for row in rows[wiring.PASSED]
        ],
    )


def _motion(rows: list[Heard]) -> Motion:
    def values(name: str) -> F64:
        found = [np.array(getattr(message, name)[:7]) for _, message, _ in rows]
        return np.array(found, np.float64).reshape(-1, 7)

    sent, came = (np.array([row[k] for row in rows], np.float64) for k in (0, 2))
    stamps = np.array([time_to_ns(row.message.header.stamp) for row in rows], np.int64)
    return Motion(sent, stamps / NS, values("position"), values("velocity"), came)


def _verdict(at_s: float, message: Any) -> Word:
    verdict = diagnostics_to_verdict(message)
    return Word(at_s, verdict.reason if verdict is not None and not verdict.accepted else "")


def _words(at_s: float, message: Any) -> list[Word]:
    return [
        Word(
            at_s,
            status.message,
            status.name.split(":")[0].rsplit("/", 1)[-1],
            status.level[0],
            {pair.key: pair.value for pair in status.values},
        )
        for status in message.status
    ]
