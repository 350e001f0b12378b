"""A terminal that is read key by key and never waited for; it is left as it was found."""

from __future__ import annotations

import os
import select
import termios
from typing import Any

from arfm_ros.core.errors import ConfigError
from arfm_ros.teleop.devices import keys

CHUNK = 4096


class Terminal:
    """Bytes of a terminal; `lost` says that it is gone."""

    def __init__(self, path: str = "/dev/tty") -> None:
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
        try:
            self._fd = os.open(path or "/dev/tty", flags)
            self._before: list[Any] = termios.tcgetattr(self._fd)
        except (OSError, termios.error) as error:
            raise ConfigError(
                f"the keyboard needs a terminal, '{path}' is none ({error}): start teleop_node in "
                "one, or use another device"
            ) from error
        self.lost = False
        raw = [*self._before[:6], list(self._before[6])]
        raw[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C stays what it is
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 0, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, raw)
        self.write(keys.BEGIN)

    def read(self) -> bytes:
        """Return what was typed since; b"" without waiting where nothing was."""
        if self.lost:
            return b""
        try:
            return os.read(self._fd, CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # the other side is closed
            self.lost = True
            return b""

    def typed(self, timeout_s: float) -> bool:
        """Wait until something was typed; tell whether it was. Of any thread.

        Raises `ConfigError` once the terminal is closed or gone.
        """
        fd = self._fd
        try:
            return bool(select.select((fd,), (), (), timeout_s)[0]) and not self.lost
        except (OSError, ValueError) as error:
            raise ConfigError("the terminal is closed") from error

    def write(self, data: bytes) -> None:
        """Send a request; one that does not fit in now is dropped."""
        try:
            os.write(self._fd, data)
        except BlockingIOError:
            return
        except OSError:
            self.lost = True

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._fd < 0:
            return
        self.write(keys.END)
        try:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
        except termios.error:
            self.lost = True
        os.close(self._fd)
        self._fd = -1
