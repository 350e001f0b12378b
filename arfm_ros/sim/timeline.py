"""Simulated instants computed ahead of the wall clock, and what they say held back until then.

A picture takes longer to render than a policy may wait for it. So the physics runs `lookahead`
before the wall clock, pictures are rendered meanwhile, and everything leaves at its own stamp. The
price: a command acts on instants not yet computed, so the robot answers `lookahead` later.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arfm_ros.sim.pace import Pace

Send = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment of simulated time."""

    due_ns: int  # on the steady clock; nothing about it is told before
    elapsed_ns: int  # simulated since the first instant
    episode: int  # counts restarts


class Timeline:
    """Grants instants ahead of the clock and sends what is posted for them in time; thread-safe.

    Sends run in the order of their instants in the thread that calls `tick`; what is posted too
    late is sent at once by whoever posts it. What takes long, as pictures do, is posted as `slow`:
    another thread sends it by `send_slow`, after what `tick` sends for its instant, and `tick`
    never waits for it.
    """

    def __init__(self, pace: Pace, lookahead_ns: int) -> None:
        self.pace = pace
        # Whole ticks, so that every instant falls due with a tick.
        self.lookahead_ns = -(-lookahead_ns // pace.period_ns) * pace.period_ns
        self._lock = threading.Lock()
        self._sending_slow = threading.Lock()  # taken before the other one
        self._held: list[tuple[int, int, Sequence[Send]]] = []
        self._slow: list[tuple[int, int, Sequence[Send]]] = []
        self._has_slow = threading.Event()
        self._posted = 0
        self._released_ns = -1
        self._episode = 0

    def tick(self, now_ns: int) -> Instant | None:
        """Send what is due, then grant the next instant to compute if it is time for it."""
        with self._lock:
            self._released_ns = now_ns
            while self._held and self._held[0][0] <= now_ns:
                for send in heapq.heappop(self._held)[2]:
                    send()
            if not self.pace.tick(now_ns):
                return None
            return self._instant(self.pace.deadline_ns, self.pace.ticks)

    def post_slow(self, instant: Instant, sends: Sequence[Send]) -> bool:
        """Have `send_slow` send when the instant is due; return whether that was already past."""
        with self._lock:
            if instant.episode != self._episode:
                return False
            self._posted += 1
            heapq.heappush(self._slow, (instant.due_ns, self._posted, sends))
            self._has_slow.set()
            return instant.due_ns <= self._released_ns

    def send_slow(self, timeout_s: float) -> None:
        """Wait for slow messages and send those of one instant, once `tick` has passed it."""
        if not self._has_slow.wait(timeout_s):
            return
        with self._sending_slow:
            with self._lock:
                wait_ns = self._slow[0][0] - self._released_ns if self._slow else 0
                sends = heapq.heappop(self._slow)[2] if self._slow and wait_ns <= 0 else ()
                if not self._slow:
                    self._has_slow.clear()
            for send in sends:
                send()
        if wait_ns > 0:
            time.sleep(min(timeout_s, wait_ns * 1e-9))

    def post(self, instant: Instant, sends: Sequence[Send]) -> bool:
        """Send when the instant is due; return whether that was already past.

        What belongs to an episode that ended is dropped.
        """
        with self._lock:
            if instant.episode != self._episode:
                return False
            if instant.due_ns > self._released_ns:
                self._posted += 1
                heapq.heappush(self._held, (instant.due_ns, self._posted, sends))
                return False
            for send in sends:
                send()
            return True

    def restart(self, now_ns: int) -> Instant | None:
        """Begin an episode: drop what is held back, nothing of the old one is sent any more.

        Returns an instant at which the new start may be told, between what was sent and what the
        next tick brings; None where the next tick comes as soon.
        """
        with self._sending_slow, self._lock:
            self._held.clear()
            self._slow.clear()
            self._has_slow.clear()
            self._episode += 1
            period_ns = self.pace.period_ns
            ahead_ns = self.pace.next_ns + self.lookahead_ns - now_ns
            earlier = ahead_ns // period_ns - 1  # ticks; one tick from now is soon enough
            if earlier < 1:
                return None
            return self._instant(
                self.pace.next_ns - earlier * period_ns, self.pace.ticks + 1 - earlier
            )

    def _instant(self, deadline_ns: int, ticks: int) -> Instant:
        due_ns, elapsed_ns = deadline_ns + self.lookahead_ns, (ticks - 1) * self.pace.period_ns
        return Instant(due_ns, elapsed_ns, self._episode)
