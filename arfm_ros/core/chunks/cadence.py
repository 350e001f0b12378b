"""When to look at the world again: with a fresh set of images, at most every period."""

from __future__ import annotations

RESTART_NS = 1_000_000_000  # images this much older than the last mean a restarted clock


class Cadence:
    """Decide for every set of images whether an inference begins with it.

    Inference begins when the last image of a set arrives, never between two sets, so that it
    always sees a fresh one: a set that came too early is passed over for good. Half a frame of
    slack keeps the mean period where jitter would cost a whole frame.
    """

    def __init__(self) -> None:
        self._seen_ns: int | None = None
        self._begin_ns: int | None = None

    def hurry(self) -> None:
        """Begin with the next new set, whatever the period."""
        self._begin_ns = None

    def due(self, taken_ns: int, now_ns: int, period_ns: int, interval_ns: int) -> bool:
        """Tell whether to begin now, and note it.

        `taken_ns` when the set's oldest image was taken; `interval_ns` between two images of the
        slowest camera, 0 while unknown.
        """
        if self._seen_ns is not None and -RESTART_NS < taken_ns - self._seen_ns <= 0:
            return False
        self._seen_ns = taken_ns
        slack_ns = min(interval_ns, period_ns) // 2
        since_ns = None if self._begin_ns is None else now_ns - self._begin_ns
        if since_ns is not None and 0 <= since_ns < period_ns - slack_ns:
            return False
        self._begin_ns = now_ns
        return True
