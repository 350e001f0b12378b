"""The software e-stop: pressed, latched, and optionally kept alive by a heartbeat."""

from __future__ import annotations

from arfm_ros.core.errors import SafetyError


class EStop:
    """Latch every press until `reset`; with `silence_ns` above 0 silence is a press too.

    The heartbeat counts from the first check on, so that a stack which starts without one
    holds.
    """

    def __init__(self, silence_ns: int = 0) -> None:
        self._silence_ns = silence_ns
        self._heard_ns: int | None = None
        self.pressed = False
        self.latched = False
        self._lost = False

    @property
    def reason(self) -> str:
        """Why it is latched; '' while it is not."""
        if self._lost:
            return "e-stop heartbeat is lost"
        if self.pressed:
            return "e-stop pressed"
        return "e-stop released: reset to go on" if self.latched else ""

    def hear(self, pressed: bool, now_ns: int) -> None:
        """Take a message of the e-stop."""
        self._heard_ns, self._lost = now_ns, False
        self.pressed = pressed
        self.latched = self.latched or pressed

    def check(self, now_ns: int) -> None:
        """Latch when the heartbeat has been silent for too long."""
        if self._silence_ns <= 0:
            return
        if self._heard_ns is None:
            self._heard_ns = now_ns
        self._lost = now_ns - self._heard_ns > self._silence_ns
        self.latched = self.latched or self._lost

    def reset(self, now_ns: int) -> None:
        """Release the latch; raises `SafetyError` while pressed or silent."""
        self.check(now_ns)
        if self.pressed:
            raise SafetyError("e-stop is still pressed: release it first, then call reset")
        if self._lost:
            raise SafetyError("e-stop heartbeat is lost: start its device, then call reset")
        self.latched = False
