"""The keyboard of a terminal.

Where the terminal tells key releases, the space bar is a deadman that is held and keys move the
tool while they are down. Where it does not, no deadman can be held: a terminal repeats a key only
after 250 to 500 ms, so that silence and release look alike. There the space bar switches driving
on and off, a key moves the tool for 100 ms after each character (holding it moves, pauses until
the repeat sets in, and goes on), and driving ends by itself after `IDLE_NS` without a key.

In both cases it ends at once with the loss of focus or of the terminal, and within 100 ms where a
terminal that answered before answers no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from arfm_ros.teleop.device import (
    BASE,
    NS,
    RATE,
    SILENCE_NS,
    TOOL,
    TWIST,
    Seat,
    TeleopState,
    TeleopTarget,
    tool_targets,
)
from arfm_ros.teleop.devices.keys import (
    ASK_ALIVE,
    ESCAPE,
    PRESS,
    RELEASE,
    Alive,
    Event,
    Focus,
    Key,
    KeyParser,
)

MS = 1_000_000
HOLD_NS = 100 * MS
IDLE_NS = 10 * NS
ALIVE_PERIOD_NS = 25 * MS
ENGAGE = " "
MOTIONS = {  # key -> direction (x, y, z, roll, pitch, yaw) and sign
    **{"w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "e": (2, 1), "q": (2, -1)},
    **{"o": (3, 1), "u": (3, -1), "i": (4, 1), "k": (4, -1), "j": (5, 1), "l": (5, -1)},
}
GRIPS = {"v": 1.0, "c": -1.0}  # open, close
HELP = (
    "space drive, w s a d q e move, u o i k j l turn, v c open and close the gripper, + - speed, "
    "t base or tool frame, Esc let go"
)


class Typing(Protocol):
    """A terminal, as far as the keyboard needs one."""

    lost: bool

    def read(self) -> bytes:
        """Return what was typed since."""

    def write(self, data: bytes) -> None:
        """Send a request to the terminal."""

    def close(self) -> None:
        """Leave it as it was."""


@dataclass(frozen=True, slots=True)
class KeyboardSpeeds:
    """Of the tool and the gripper, at factor 1."""

    move_m_s: float = 0.10
    turn_rad_s: float = 0.5
    grip_1_s: float = 1.5


class KeyboardDevice:
    """Keys as a twist of the tool and a rate of the gripper."""

    def __init__(
        self, terminal: Typing, seat: Seat, speeds: KeyboardSpeeds = KeyboardSpeeds()
    ) -> None:
        self._terminal, self._seat, self._speeds = terminal, seat, speeds
        self._parser = KeyParser()
        self.engaged = False
        self.releases = False  # whether the terminal tells when keys go up
        self._until_ns: dict[str, int] = {}  # key -> how long it counts as held
        self._factor, self._frame = 1.0, BASE
        self._typed_ns = self._answered_ns = self._asked_ns = 0
        self.trouble = ""

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Read the terminal; return the twist while the person drives."""
        self.take(self._parser.feed(self._terminal.read()), now_ns)
        self._ask(now_ns)
        self.trouble = self._gone(now_ns)
        idle = not self.releases and now_ns - self._typed_ns > IDLE_NS
        if self.trouble or idle:
            self.release()
        if not self.engaged:
            return {}
        held = [key for key, until_ns in self._until_ns.items() if now_ns < until_ns]
        twist, grip = np.zeros(6), 0.0
        for key in held:
            grip += GRIPS.get(key, 0.0) * self._speeds.grip_1_s
            if key in MOTIONS:
                direction, sign = MOTIONS[key]
                speed = self._speeds.move_m_s if direction < 3 else self._speeds.turn_rad_s
                twist[direction] += sign * speed * self._factor
        return tool_targets(
            self._seat,
            TeleopTarget(TWIST, twist, now_ns, frame=self._frame),
            TeleopTarget(RATE, np.array([grip]), now_ns),
        )

    def take(self, events: Iterable[Event], now_ns: int) -> None:
        """Take events of the terminal that came until now."""
        for event in events:
            if isinstance(event, Alive):
                self._answered_ns = now_ns
                self.releases |= event.kitty
            elif isinstance(event, Focus):
                if not event.gained:
                    self.release()
            else:
                self._press(event, now_ns)

    def release(self) -> None:
        """Let go at once."""
        self.engaged = False
        self._until_ns.clear()

    def feel(self, state: TeleopState) -> None:
        """Feel nothing."""

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._terminal.close()

    def _press(self, key: Key, now_ns: int) -> None:
        self._typed_ns = now_ns
        if key.name == ENGAGE:
            self._space(key.event)
        elif key.name == ESCAPE:
            self.release()
        elif key.event == RELEASE:
            self._until_ns.pop(key.name, None)
        elif key.name in {"+", "=", "-"} and key.event == PRESS:
            self._factor = float(
                np.clip(self._factor * (0.8 if key.name == "-" else 1.25), 0.1, 2)
            )
        elif key.name == "t" and key.event == PRESS:
            self._frame = TOOL if self._frame == BASE else BASE
        elif key.name in MOTIONS or key.name in GRIPS:
            held_ns = 10**18 if self.releases else HOLD_NS
            self._until_ns[key.name] = now_ns + held_ns

    def _space(self, event: int) -> None:
        before = self.engaged
        if self.releases:
            self.engaged = event != RELEASE
        elif event == PRESS:
            self.engaged = not self.engaged
        if self.engaged != before:
            self._until_ns.clear()  # what was typed before moves nothing

    def _ask(self, now_ns: int) -> None:
        """Ask for a sign of life: often once one came, and while none did, now and then."""
        period_ns = ALIVE_PERIOD_NS if self._answered_ns else NS
        if now_ns - self._asked_ns >= period_ns:
            self._asked_ns = now_ns
            self._terminal.write(ASK_ALIVE)

    def _gone(self, now_ns: int) -> str:
        if self._terminal.lost:
            return "the terminal is closed"
        silence_ns = now_ns - self._answered_ns
        if self._answered_ns and silence_ns > SILENCE_NS:
            return f"the terminal does not answer for {silence_ns / 1e6:.0f} ms"
        return ""
