"""One operator holds the controls, others watch; taking them is explicit and they run out."""

from __future__ import annotations

from dataclasses import dataclass

NS = 1_000_000_000
SILENT_NS = 3 * NS  # a page that says nothing for so long has lost them
IDLE_NS = 120 * NS  # whoever does nothing for so long may be relieved by another


@dataclass(slots=True)
class Controls:
    """Who holds the controls: the number of a connection, 0 nobody."""

    silent_ns: int = SILENT_NS
    idle_ns: int = IDLE_NS
    holder: int = 0
    _heard_ns: int = 0
    _acted_ns: int = 0

    def take(self, who: int, now_ns: int) -> str:
        """Give the controls to a connection; return '' or why not."""
        self.expire(now_ns)
        if self.holder not in {0, who} and now_ns - self._acted_ns < self.idle_ns:
            left_s = (self.idle_ns - (now_ns - self._acted_ns)) / NS
            return (
                f"operator {self.holder} holds the controls: ask for them, or wait "
                f"{left_s:.0f} s without an action of theirs"
            )
        self.holder, self._heard_ns, self._acted_ns = who, now_ns, now_ns
        return ""

    def leave(self, who: int) -> None:
        """Lay the controls down, if this connection has them."""
        if self.holder == who:
            self.holder = 0

    def hear(self, who: int, now_ns: int, acted: bool = False) -> None:
        """Note that the holder is there, and whether it did something."""
        if who == self.holder:
            self._heard_ns = now_ns
            if acted:
                self._acted_ns = now_ns

    def expire(self, now_ns: int) -> None:
        """Take the controls from a holder that fell silent."""
        if self.holder and now_ns - self._heard_ns > self.silent_ns:
            self.holder = 0

    def refusal(self, who: int, now_ns: int) -> str:
        """Say why a connection may not command; '' if it may."""
        self.expire(now_ns)
        if who == self.holder:
            return ""
        if not self.holder:
            return "take the controls first"
        return f"operator {self.holder} holds the controls, you watch"
