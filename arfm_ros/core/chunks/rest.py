"""How long the arm has stood still: nothing was executed then, so a chunk's clock stood too."""

from __future__ import annotations

from collections import deque

KEPT = 64  # periods of rest; older ones belong to observations that nobody uses any more


class RestClock:
    """Note at every tick whether the command stood still until then."""

    def __init__(self) -> None:
        self._periods: deque[tuple[int, int]] = deque(maxlen=KEPT)  # (begin, end) in ns
        self._at_ns: int | None = None

    def note(self, now_ns: int, resting: bool) -> None:
        """Note how the time since the last note was spent."""
        begin_ns, self._at_ns = self._at_ns, now_ns
        if not resting or begin_ns is None or now_ns <= begin_ns:
            return
        if self._periods and self._periods[-1][1] == begin_ns:
            begin_ns = self._periods.pop()[0]
        self._periods.append((begin_ns, now_ns))

    def forget(self, now_ns: int) -> None:
        """Begin anew: what was before `now_ns` is unknown."""
        self._periods.clear()
        self._at_ns = now_ns

    def within(self, begin_ns: int, end_ns: int, resting: bool) -> int:
        """Return how much of begin..end the command stood still, in ns.

        `resting`: whether it has stood still since the last note.
        """
        total_ns = sum(
            max(min(end, end_ns) - max(begin, begin_ns), 0) for begin, end in self._periods
        )
        if resting and self._at_ns is not None:
            total_ns += max(end_ns - max(self._at_ns, begin_ns), 0)
        return total_ns
