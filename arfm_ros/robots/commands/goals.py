"""One goal at a time for an action server that blocks, or is asked not to be interrupted."""

from __future__ import annotations

from arfm_ros.robots.commands.values import Value


class GoalLane:
    """Hand on the newest goal; nothing waits in line but the newest.

    With `preempts` the server takes a goal at any time. Without, a goal waits for the end of the
    one before it, at most `patience_ns`: a lost answer must not keep the gripper from opening.
    """

    def __init__(self, preempts: bool, patience_ns: int = 3_000_000_000) -> None:
        self._preempts, self._patience_ns = preempts, patience_ns
        self._waiting: Value | None = None
        self._busy_since_ns: int | None = None
        self._number = 0

    def offer(self, goal: Value) -> None:
        """Take a goal; one that still waits is dropped."""
        self._waiting = goal

    def next(self, now_ns: int) -> tuple[int, Value] | None:
        """Return a goal to send now with a number for `finished`; call it every tick."""
        busy = self._busy_since_ns is not None and (
            0 <= now_ns - self._busy_since_ns < self._patience_ns
        )
        if self._waiting is None or (busy and not self._preempts):
            return None
        goal, self._waiting = self._waiting, None
        self._number, self._busy_since_ns = self._number + 1, now_ns
        return self._number, goal

    def finished(self, number: int) -> None:
        """Note that goal `number` ended or was refused; what an older one says does not count."""
        if number == self._number:
            self._busy_since_ns = None

    def forget(self) -> None:
        """Drop the goal that waits."""
        self._waiting = None
