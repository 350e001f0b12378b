"""Whether what the robot says about itself can be believed, and whether it follows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.chunks.player import LONG_AGO, NS
from arfm_ros.core.safety.limits import F64, Limits, some

FOLLOWS = 0.1  # an arm that moved less than this part of its command does not move with it
PARTED = 0.5
TOO_FAR = 1.5  # times the tracking limit
KEPT = 64  # commands, more than joint states may be late


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """When joint states are too old, and when they cannot be true."""

    gap_max_ns: int = 100_000_000  # none for longer: hold until there is one again
    age_max_ns: int = 250_000_000  # by its stamp, for it may come late: likewise
    lost_ns: int = 500_000_000  # older: hold until a reset
    stale_ticks: int = 3  # in a row: a late tick of the arbiter itself is no fault of the robot
    jump_rad: float = 0.2  # beyond what an axis can move between two states
    frozen_ns: int = 200_000_000  # the same to the last bit for longer, while commanded to move
    frozen_rad: float = 0.05  # what the command moved meanwhile
    follow_ns: int = 300_000_000  # the arm has to move with its command within this time
    follow_rad: float = 0.08  # what the command moved meanwhile
    late_ns: int = 250_000_000  # an arm farther from its command for so long does not follow


class StateWatch:
    """Judge joint states [A] against time, against each other and against the command."""

    def __init__(self, limits: Limits, config: WatchConfig) -> None:
        self._limits, self._config = limits, config
        self._checked = np.isfinite(limits.tracking)  # a gripper may stay behind or stand
        self.position: F64 = np.full(limits.size, np.nan)  # none yet
        self.stamp_ns = self.seen_ns = LONG_AGO
        self.not_following = False  # the fault says that commands do not arrive
        self._stale_ticks = 0
        self._armed = False  # the arm has been near its command
        self._far_ns: int | None = None  # since when it has been too far from it
        self._same_ns = LONG_AGO  # since when the state has been the same to the last bit
        self._same_command: F64 | None = None
        self._mark: tuple[int, F64, F64] | None = None  # time, command, measured
        self._commands: deque[tuple[int, F64]] = deque(maxlen=KEPT)  # time, command; newest last

    @property
    def stale(self) -> bool:
        """Whether joint states have been missing for too long to move on."""
        return self._stale_ticks >= self._config.stale_ticks

    def begin(self, position: F64, now_ns: int) -> None:
        """Start from a state [A] that is believed, measured now."""
        self.position, self.stamp_ns, self.seen_ns = position, now_ns, now_ns
        self.start_over()

    def start_over(self) -> None:
        """Forget what was held against the robot."""
        self._stale_ticks, self._armed, self.not_following = 0, False, False
        self._same_command = self._mark = self._far_ns = None
        self._commands.clear()

    def see(self, position: F64, stamp_ns: int, now_ns: int) -> str:
        """Take a state [A]; return why it cannot be true, '' otherwise."""
        before, self.position = self.position, position
        earlier_ns = self.stamp_ns
        self.seen_ns = now_ns
        self.stamp_ns = min(stamp_ns, now_ns)  # one of the future would stay fresh for ever
        # between the stamps: either of the two may have come late, and the arm moves no farther
        since_ns = abs(self.stamp_ns - earlier_ns)
        if some(self._checked & (before != position)):
            self._same_command = None
        if since_ns > self._config.lost_ns or some(~np.isfinite(before)):
            return ""
        reach = self._limits.velocity * (since_ns / NS) + self._config.jump_rad
        jumped = self._checked & (np.abs(position - before) > reach)
        if since_ns > self._config.gap_max_ns:
            jumped |= self._checked & self._astray(position, before, earlier_ns)
        if not some(jumped):
            return ""
        return f"joint state jumped: {self._limits.named(jumped)}; reset when it is right"

    def _astray(self, position: F64, before: F64, earlier_ns: int) -> NDArray[np.bool_]:
        """Axes [A] that are elsewhere after a gap than on the way that was commanded meanwhile.

        In a gap an axis could go far; one that is commanded goes where it is sent.
        """
        if not self._commands:
            return np.zeros(position.shape, np.bool_)
        way = np.stack((before, self._command_at(earlier_ns), self._commands[-1][1]))
        beyond = np.maximum(position - way.max(axis=0), way.min(axis=0) - position)
        return np.asarray(beyond > self._config.jump_rad)

    def check(self, now_ns: int, command: F64) -> str:
        """Judge at a tick, with the command [A] in force; return a fault, '' otherwise."""
        age_ns = now_ns - self.stamp_ns
        silent = now_ns - self.seen_ns > self._config.gap_max_ns
        old = silent or age_ns > self._config.age_max_ns
        self._stale_ticks = self._stale_ticks + 1 if old else 0
        if self.stale and age_ns > self._config.lost_ns:
            return f"joint state is stale: {age_ns / 1e6:.0f} ms old"
        self._commands.append((now_ns, command))
        if old:  # says nothing about where the arm is now
            return ""
        then = self._command_at(self.stamp_ns)
        return self._frozen(now_ns, command) or self._follows(now_ns, then)

    def _command_at(self, stamp_ns: int) -> F64:
        """Return the command that was in force when the state was measured: it may come late."""
        for at_ns, command in reversed(self._commands):
            if at_ns <= stamp_ns:
                return command
        return self._commands[0][1]

    def _frozen(self, now_ns: int, command: F64) -> str:
        if self._same_command is None:
            self._same_command, self._same_ns = command, now_ns
            return ""
        if now_ns - self._same_ns <= self._config.frozen_ns or self.stale:
            return ""
        asked, left = np.abs(command - self._same_command), np.abs(self.position - command)
        parted = left - np.abs(self.position - self._same_command)
        moved = self._checked & (asked > self._config.frozen_rad) & (parted > PARTED * asked)
        if not some(moved):
            return ""
        return (
            f"joint states repeat to the last bit while {self._limits.named(moved)} is commanded "
            "to move: the robot's driver is frozen, or it has stopped"
        )

    def _follows(self, now_ns: int, command: F64) -> str:
        apart = np.abs(self.position - command)
        far = apart > self._limits.tracking
        if self._mark is None:
            self._mark = (now_ns, command, self.position)
        late = now_ns - self._mark[0] >= self._config.follow_ns
        if not late and not some(far):
            return self._tracks(now_ns, apart, far)
        deaf = self._deaf(command, apart)
        if some(deaf):
            self.not_following = True
            return (
                f"the arm does not move with its command ({self._limits.named(deaf)}): commands "
                "are ignored by the controller; is it active, is there another publisher?"
            )
        if late:
            self._mark = None
        return self._tracks(now_ns, apart, far)

    def _deaf(self, command: F64, apart: F64) -> NDArray[np.bool_]:
        """Axes [A] that did not move with their command since the mark."""
        assert self._mark is not None
        _, from_command, from_position = self._mark
        asked = np.abs(command - from_command)
        moved = np.abs(self.position - from_position)
        parted = apart - np.abs(from_position - from_command)
        deaf = self._checked & (asked > self._config.follow_rad) & (moved < FOLLOWS * asked)
        # a command that comes back to the arm needs no motion
        return np.asarray(deaf & (parted > PARTED * asked))

    def _tracks(self, now_ns: int, apart: F64, far: NDArray[np.bool_]) -> str:
        """Judge the distance: for a moment a controller may be late, twice as far is too far."""
        beyond = some(far)
        self._armed = self._armed or not beyond
        if not beyond or not self._armed:
            self._far_ns = None
            return ""
        since_ns = self._far_ns = now_ns if self._far_ns is None else self._far_ns
        much = apart > TOO_FAR * self._limits.tracking
        if now_ns - since_ns < self._config.late_ns and not some(much):
            return ""
        return f"arm does not follow its command: {self._limits.named(far)}"
