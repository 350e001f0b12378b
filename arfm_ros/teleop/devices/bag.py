"""What somebody did before, again: the teleoperation, or the commands, of a recorded episode.

It plays from the moment that the arbiter is engaged, by the times in the recording, and comes
slowly to its first position before its clock starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.scan import Record
from arfm_ros.teleop.approach import Approach
from arfm_ros.teleop.device import F64, JOINTS, NS, Seat, TeleopState, TeleopTarget
from arfm_ros.wire.joints import read_joint_state

SOURCES = ("teleop/target_joint", "arbiter/command")  # the first that has anything
ALIGN_SPEED = 0.4  # rad/s
PAUSE_NS = NS // 5  # the recording says nothing for longer: nobody drove
IDLE = ("", "idle", "estop")


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Targets [N, J] of named axes at times [N] from the first one on."""

    names: tuple[str, ...]
    at_ns: NDArray[np.int64]
    positions: F64

    def at(self, now_ns: int) -> F64 | None:
        """Return the positions [J] of a time; None in a pause, and after the end."""
        k = int(np.searchsorted(self.at_ns, now_ns, side="right")) - 1
        if k < 0 or now_ns - self.at_ns[k] > PAUSE_NS:
            return None
        return np.asarray(self.positions[k])


def read_recorded(path: Path, seat: Seat) -> Recorded:
    """Read an episode; raises `ConfigError` where nobody drove this robot in it."""
    if not path.exists():
        raise ConfigError(f"there is no bag {path}: name the folder of an episode")
    reader = EpisodeReader(path)
    for name in SOURCES:
        topic = reader.find(name)
        rows = list(reader.records({topic})) if topic else []
        if rows:
            return _recorded(path, rows, seat)
    raise ConfigError(f"{path} has neither {' nor '.join(SOURCES)}: nobody drove in it")


def _recorded(path: Path, rows: Sequence[Record], seat: Seat) -> Recorded:
    found = [read_joint_state(row.cdr) for row in rows]
    names = tuple(found[0])
    unknown = [name for name in names if name not in seat.names]
    if unknown:
        raise ConfigError(
            f"{path} moves {', '.join(unknown)}; this robot has: {', '.join(seat.names)}"
        )
    same = [(row.log_time_ns, one) for row, one in zip(rows, found) if tuple(one) == names]
    at = np.array([at_ns for at_ns, _ in same], np.int64)
    return Recorded(names, at - at[0], np.array([list(one.values()) for _, one in same]))


class BagDevice:
    """A recording at the controls."""

    def __init__(self, recorded: Recorded, seat: Seat) -> None:
        self._recorded, self._seat = recorded, seat
        self._approach = Approach(ALIGN_SPEED)
        self._begin_ns: int | None = None
        self._state: TeleopState | None = None
        self.trouble = "waits for the arbiter to be engaged"

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return the recorded target of this moment."""
        if self._state is None or self._state.authority in IDLE:
            self._approach.forget()
            self._begin_ns = None
            return {}
        self.trouble = ""
        at_ns = 0 if self._begin_ns is None else now_ns - self._begin_ns
        wanted = self._recorded.at(at_ns)
        if wanted is None:
            self.trouble = "the recording is over" if at_ns > self._recorded.at_ns[-1] else ""
            self._approach.forget()
            return {}
        commanded = self._state.commanded()
        begin = np.array([commanded[name] for name in self._recorded.names])
        position = self._approach.towards(wanted, begin, now_ns)
        if self._begin_ns is None and self._approach.arrived:
            self._begin_ns = now_ns
        return {self._seat.arm: TeleopTarget(JOINTS, position, now_ns, names=self._recorded.names)}

    def feel(self, state: TeleopState) -> None:
        """Remember where the arm is and whether anybody may drive."""
        self._state = state

    def close(self) -> None:
        """Hold nothing."""
