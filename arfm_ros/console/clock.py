"""When a page saw something, in our time: its clock, less the smallest delay seen lately."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

NS = 1_000_000_000
WINDOW_NS = 30 * NS  # clocks drift: an older smallest delay is forgotten


@dataclass(slots=True)
class PageClock:
    """Turns the milliseconds of a page's clock into steady nanoseconds.

    A message that was held up, by a network or by a browser that stalled, is late by as much as
    its delay exceeds the smallest one; so what a page sent long ago does not count as new.
    """

    _least: deque[tuple[int, int]] = field(default_factory=deque)  # when, offset; ascending

    def stamp_ns(self, page_ms: float, now_ns: int) -> int:
        """Return when it was sent, never later than now."""
        offset = now_ns - round(page_ms * 1e6)
        while self._least and self._least[-1][1] >= offset:
            self._least.pop()
        self._least.append((now_ns, offset))
        while now_ns - self._least[0][0] > WINDOW_NS:
            self._least.popleft()
        return now_ns - (offset - self._least[0][1])
