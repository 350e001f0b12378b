"""Whether what a device said still counts: by its own stamps, not by when it came."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.teleop.device import SILENCE_NS

AHEAD_NS = 50_000_000  # clocks of two machines may differ by so much


@dataclass(slots=True)
class Hearing:
    """The stamp of the newest message of one device, in steady time."""

    name: str
    silence_ns: int = SILENCE_NS
    stamp_ns: int = 0
    refused: str = ""  # why the last message did not count

    def take(self, stamp_ns: int, now_ns: int) -> bool:
        """Return whether a message counts: stamped, neither old nor of the future, in order."""
        self.refused = self._refusal(stamp_ns, now_ns)
        if not self.refused:
            self.stamp_ns = stamp_ns
        return not self.refused

    def trouble(self, now_ns: int) -> str:
        """Return why nothing that was heard counts any more; '' while it does."""
        if not self.stamp_ns:
            return self.refused or f"nothing was heard from {self.name} yet"
        age_ns = now_ns - self.stamp_ns
        if age_ns <= self.silence_ns:
            return ""
        return self.refused or f"{self.name} is silent for {age_ns / 1e6:.0f} ms"

    def _refusal(self, stamp_ns: int, now_ns: int) -> str:
        age_ns = now_ns - stamp_ns
        if age_ns > 3600 * 10**9:  # a stamp of 0 is as old as ROS time
            return f"{self.name} does not stamp its messages: header.stamp says when it was moved"
        if age_ns > self.silence_ns:
            return f"{self.name} is late: what it says is {age_ns / 1e6:.0f} ms old"
        if age_ns < -AHEAD_NS:
            return f"{self.name} is {-age_ns / 1e6:.0f} ms ahead: set the clocks of both machines"
        if stamp_ns < self.stamp_ns:
            return f"{self.name} sent a message out of order"
        return ""
