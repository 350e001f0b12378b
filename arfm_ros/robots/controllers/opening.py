"""When an opening of a gripper, 0 closed to 1 open, is worth sending: its drivers are slow."""

from __future__ import annotations


class ChangedOpening:
    """Let an opening pass that differs enough from the one before, or is an end of the way.

    `refresh_ns` 0: nothing is repeated. `gap_ns`: what changes sooner waits, and the newest wins.
    """

    def __init__(self, change_min: float, refresh_ns: int = 0, gap_ns: int = 0) -> None:
        self._change_min, self._refresh_ns, self._gap_ns = change_min, refresh_ns, gap_ns
        self._sent: float | None = None
        self._sent_ns = 0

    def due(self, opening: float, now_ns: int) -> float | None:
        """Return the clipped opening to send now, or None."""
        value = min(max(opening, 0.0), 1.0)
        since_ns = now_ns - self._sent_ns
        if self._sent is not None and not self._worth(value, self._sent, since_ns):
            return None
        self._sent, self._sent_ns = value, now_ns
        return value

    def forget(self) -> None:
        """Send the next opening whatever it is."""
        self._sent = None

    def _worth(self, value: float, sent: float, since_ns: int) -> bool:
        if since_ns < 0:  # the clock went back
            return True
        if self._refresh_ns and since_ns >= self._refresh_ns:
            return True
        ends = self._gap_ns > 0 and value in {0.0, 1.0} and value != sent
        return since_ns >= self._gap_ns and (abs(value - sent) >= self._change_min or ends)
