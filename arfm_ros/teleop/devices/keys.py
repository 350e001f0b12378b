"""What a terminal sends: keys, and where it can, key releases, loss of focus and signs of life.

Terminals send characters, not keys that go down and up. Three additions of theirs make them safe
to drive with; each is asked for, and used where the terminal answers:

- the kitty keyboard protocol (kitty, foot, WezTerm, Ghostty, Alacritty, iTerm2) tells releases;
- focus reports (xterm, VTE, most others) tell when another window takes the keyboard;
- a status request (DSR 5, all but the dumbest) is answered as long as the terminal, and the
  network to it, are alive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PRESS, REPEAT, RELEASE = 1, 2, 3
ASK_KITTY = b"\x1b[>3u\x1b[?u"  # push: disambiguate and report event types; then ask for them
END_KITTY = b"\x1b[<u"
ASK_FOCUS, END_FOCUS = b"\x1b[?1004h", b"\x1b[?1004l"
ASK_ALIVE = b"\x1b[5n"
BEGIN, END = ASK_KITTY + ASK_FOCUS, END_FOCUS + END_KITTY
CSI = re.compile(rb"\x1b\[([?<>]?[0-9;:]*)([@-~])")
ESC, BEGIN_CSI, LONGEST = b"\x1b", b"\x1b[", 32  # a longer sequence is none
ESCAPE = "escape"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that went down, repeats or went up."""

    name: str
    event: int = PRESS


@dataclass(frozen=True, slots=True)
class Focus:
    """The terminal's window got the keyboard, or lost it."""

    gained: bool


@dataclass(frozen=True, slots=True)
class Alive:
    """The terminal answered."""

    kitty: bool = False  # it also said that it tells releases


Event = Key | Focus | Alive


class KeyParser:
    """Turns bytes into events; what is cut off waits for its rest."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[Event]:
        """Take what came since the last call, b"" for nothing; return the events in it."""
        if not data and self._left == ESC:
            self._left = b""
            return [Key(ESCAPE)]  # nothing came after it: the key itself
        self._left += data
        found: list[Event] = []
        while self._left and (events := self._next()) is not None:
            found += events
        return found

    def _next(self) -> list[Event] | None:
        """Take one key or sequence off what is left; None where its rest is still to come."""
        if self._left == ESC:
            return None
        if self._left[:2] != BEGIN_CSI:
            char, self._left = self._left[:1], self._left[1:]
            return [Key(ESCAPE if char == ESC else char.decode("latin-1").lower())]
        match = CSI.match(self._left)
        if match is None:
            if len(self._left) < LONGEST:
                return None
            self._left = self._left[2:]
            return []
        self._left = self._left[match.end() :]
        return sequence(match[1].decode(), match[2].decode())


def sequence(parameters: str, final: str) -> list[Event]:
    """Return the events of one control sequence; none for those that say nothing here."""
    if final in "IO" and not parameters:
        return [Focus(final == "I")]
    if final == "n" and parameters in {"0", "3"}:
        return [Alive()]
    if final != "u":
        return []
    if parameters.startswith("?"):
        flags = parameters[1:]
        return [Alive(kitty=flags.isdecimal() and int(flags) & 2 > 0)]
    code, _, more = parameters.partition(";")
    event = more.split(";")[0].partition(":")[2]
    number = code.split(":")[0]
    if not number.isdecimal() or not 0 < int(number) < 0x110000:
        return []
    name = ESCAPE if int(number) == 27 else chr(int(number)).lower()
    return [Key(name, int(event) if event in {"1", "2", "3"} else PRESS)]
