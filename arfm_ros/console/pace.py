"""Pictures as fast as a client takes them: one is sent when it has shown the one before."""

from __future__ import annotations

from dataclasses import dataclass

NS = 1_000_000_000
AHEAD = 2  # pictures that may be on their way: one travels while one is shown


@dataclass(slots=True)
class Pace:
    """Decides for one client and one camera whether the newest picture is sent now."""

    max_hz: float = 15.0
    _sent: int = 0
    _shown: int = 0
    _due_ns: int = 0
    _newest: int = -1  # number of the picture sent last

    @property
    def waits(self) -> bool:
        """Whether the client has to show something first."""
        return self._sent - self._shown >= AHEAD

    def shown(self) -> None:
        """Note that the client has shown a picture."""
        self._shown = min(self._shown + 1, self._sent)

    def take(self, number: int, now_ns: int) -> bool:
        """Return whether to send picture `number` now."""
        if self.waits or number == self._newest or now_ns < self._due_ns:
            return False
        self._sent, self._newest = self._sent + 1, number
        period_ns = round(NS / self.max_hz)
        self._due_ns = max(self._due_ns + period_ns, now_ns)
        return True
