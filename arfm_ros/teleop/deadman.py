"""Ways to say "I drive": a held button is the device's own; here, motion above a threshold."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.teleop.device import NS

STILL_NS = NS // 2


@dataclass(slots=True)
class Motion:
    """Engage when a device is moved by more than `threshold`, release when it has been still.

    For devices without a button that is held. A device that is let go is engaged for `still_ns`
    longer, then the policy has the arm again.
    """

    threshold: float
    still_ns: int = STILL_NS
    engaged: bool = False
    _moved_ns: int = 0

    def see(self, deflection: float, now_ns: int) -> bool:
        """Take how far the device is from rest; return whether the person drives."""
        if abs(deflection) > self.threshold:
            self.engaged, self._moved_ns = True, now_ns
        elif self.engaged and now_ns - self._moved_ns > self.still_ns:
            self.engaged = False
        return self.engaged

    def release(self) -> None:
        """Let go at once."""
        self.engaged = False
