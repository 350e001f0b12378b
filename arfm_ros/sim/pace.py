"""Simulated time beside the steady clock: absolute deadlines, bounded catching up, no drift."""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """Deadlines every `period_ns`; the caller brings the steady clock's time.

    A late caller catches up, tick by tick, unless it is more than `behind_max_ns` late: then the
    missed periods are given up and counted in `dropped`, because a burst of physics after a long
    stall would only make the next stall.
    """

    def __init__(self, period_ns: int, now_ns: int, behind_max_ns: int = 100_000_000) -> None:
        self.period_ns = period_ns
        self.deadline_ns = now_ns  # of the tick that `tick` last granted
        self.next_ns = now_ns + period_ns
        self._behind_max_ns = behind_max_ns
        self.ticks = 0
        self.overruns = 0  # ticks that began more than one period late
        self.dropped = 0  # ticks given up

    def tick(self, now_ns: int) -> bool:
        """Tell whether the next tick is due; if so it counts as run."""
        late_ns = now_ns - self.next_ns
        if late_ns < 0:
            return False
        if late_ns > self._behind_max_ns:
            missed = late_ns // self.period_ns
            self.dropped += missed
            self.next_ns += missed * self.period_ns
        if late_ns > self.period_ns:
            self.overruns += 1
        self.deadline_ns = self.next_ns
        self.next_ns += self.period_ns
        self.ticks += 1
        return True

    def wait_s(self, now_ns: int) -> float:
        """Return the time to the next deadline, never negative."""
        return max(0, self.next_ns - now_ns) * 1e-9


class ClockOffset:
    """What to add to the steady clock's time to get another clock's.

    Each clock is read with the other around it, and the tightest of a few readings counts: a
    process that is put aside between two reads would be off by as long as it slept.
    """

    READINGS = 5

    def __init__(self, steady_ns: Callable[[], int], other_ns: Callable[[], int]) -> None:
        self._steady_ns, self._other_ns = steady_ns, other_ns
        self.offset_ns = 0
        self.refresh()

    def refresh(self) -> None:
        """Read both clocks again, now and then: clocks drift by microseconds a second."""
        self.offset_ns = min(self._reading() for _ in range(self.READINGS))[1]

    def _reading(self) -> tuple[int, int]:
        before = self._steady_ns()
        other = self._other_ns()
        after = self._steady_ns()
        return after - before, other - (before + after) // 2


class Divider:
    """Tells when something that runs at a lower rate is due, on simulated time."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._count = 0

    def due(self, elapsed_ns: int) -> bool:
        """Tell whether the next sample is due; multiples of 1/rate from zero, without drift."""
        if elapsed_ns * self._rate_hz < self._count * 1e9:
            return False
        self._count += 1
        return True
