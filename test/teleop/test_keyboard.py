"""The keyboard: with key releases and without, and everything that must let go at once."""

from __future__ import annotations

import os
import pty

import pytest
from teleop_rig import BEGIN_NS, MS, SEAT

from arfm_ros.core.errors import ConfigError
from arfm_ros.teleop.devices.keyboard import IDLE_NS, KeyboardDevice
from arfm_ros.teleop.devices.keys import ASK_ALIVE, Alive, Focus, Key, KeyParser
from arfm_ros.teleop.devices.terminal import Terminal

KITTY, ALIVE, OUT = b"\x1b[?3u", b"\x1b[0n", b"\x1b[O"


class Typed:
    """A terminal that says what it is told to."""

    def __init__(self) -> None:
        self.lost, self.data, self.written = False, b"", b""

    def read(self) -> bytes:
        data, self.data = self.data, b""
        return data

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None: ...


class Rig:
    def __init__(self) -> None:
        self.terminal, self.now = Typed(), BEGIN_NS
        self.device = KeyboardDevice(self.terminal, SEAT)

    def read(self, data: bytes = b"", later_ms: int = 0):
        self.now += later_ms * MS
        self.terminal.data = data
        return self.device.read(self.now)


def test_sequences_in_pieces_and_among_keys_are_understood() -> None:
    parser, data = KeyParser(), b"w\x1b[97;1:3u\x1b[I\x1b[0n\x1b[?3u \x1b[200~x"
    whole = KeyParser().feed(data)
    assert whole == [
        Key("w"), Key("a", 3), Focus(True), Alive(), Alive(True), Key(" "), Key("x"),
    ]  # fmt: skip
    assert [event for byte in data for event in parser.feed(bytes([byte]))] == whole


@pytest.mark.parametrize("junk", [b"\x1b[" + b"9" * 500, os.urandom(3000), b"\xff\x00" * 99])
def test_junk_is_no_crash(junk: bytes) -> None:
    rig = Rig()
    rig.read(junk)
    rig.read(b"\x1b\x1b", 10)
    assert rig.read(b" ", 10)


def test_without_releases_the_space_bar_switches_and_a_key_moves_for_100_ms() -> None:
    rig = Rig()
    assert rig.read(b"w") == {}
    assert rig.read(b" ", 10)["arm"].values.any() == 0
    assert rig.read(b"w", 10)["arm"].values[0] > 0
    assert rig.read(b"", 90)["arm"].values[0] > 0
    assert rig.read(b"", 20)["arm"].values[0] == 0
    for _ in range(20):  # the repeat of a terminal
        assert rig.read(b"w", 33)["arm"].values[0] > 0
    assert rig.read(b" ", 10) == {}


def test_without_releases_driving_ends_by_itself() -> None:
    rig = Rig()
    rig.read(b" ")
    assert rig.read(b"", IDLE_NS // MS - 10)
    assert rig.read(b"", 20) == {}


def test_with_releases_the_space_bar_is_held_and_so_are_keys() -> None:
    rig = Rig()
    rig.read(KITTY)
    assert rig.device.releases
    assert rig.read(b"\x1b[32;1:1u\x1b[119;1:1u" + ALIVE)["arm"].values[0] > 0
    for _ in range(50):
        assert rig.read(ALIVE, 50)["arm"].values[0] > 0
    assert rig.read(b"\x1b[119;1:3u" + ALIVE, 10)["arm"].values[0] == 0
    assert rig.read(b"\x1b[32;1:3u" + ALIVE, 10) == {}


@pytest.mark.parametrize("event", [OUT, b"\x1b\x1b", b" ", b"\x1b[27;1:1u"])
def test_focus_escape_and_space_let_go_at_once(event: bytes) -> None:
    rig = Rig()
    assert rig.read(b" ")
    assert rig.read(event, 10) == {}


def test_a_terminal_that_answered_and_falls_silent_lets_go_within_100_ms() -> None:
    rig = Rig()
    assert rig.read(ALIVE + b" ")
    assert ASK_ALIVE in rig.terminal.written
    assert rig.read(b"", 70)
    assert rig.read(b"", 20) == {} and "does not answer" in rig.device.trouble
    assert rig.read(ALIVE, 10) == {} and rig.device.trouble == ""


def test_a_terminal_that_is_closed_lets_go_and_an_open_one_is_left_as_it_was() -> None:
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    terminal = Terminal(os.ttyname(theirs))
    assert not termios.tcgetattr(theirs)[3] & termios.ECHO
    os.write(ours, b" ")
    device, now = KeyboardDevice(terminal, SEAT), BEGIN_NS
    for _ in range(100):
        if device.read(now):
            break
    assert device.engaged
    terminal.close()
    assert termios.tcgetattr(theirs) == before
    terminal = Terminal(os.ttyname(theirs))
    device = KeyboardDevice(terminal, SEAT)
    os.close(theirs)
    os.close(ours)
    assert device.read(now) == {} and "closed" in device.trouble
    device.close()


def test_something_that_is_no_terminal_is_one_error() -> None:
    with pytest.raises(ConfigError, match="needs a terminal"):
        Terminal("/dev/null")
