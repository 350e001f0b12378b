"""Devices that behave as real ones, for measuring: a gamepad's driver and a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from array import array
from typing import Any


class JoyDriver:
    """A gamepad's driver: plain rclpy, repeats its state at 50 Hz, says a change at once."""

    def __init__(self, node: Any, qos: Any = 10, topic: str = "joy") -> None:
        from sensor_msgs.msg import Joy

        self._kind, self._node = Joy, node
        self._publisher = node.create_publisher(Joy, topic, qos)
        self._state, self._over = ([0.0] * 6, [0] * 11), threading.Event()
        self._change = threading.Lock()
        self.plug()

    def plug(self) -> None:
        """Begin to speak, or speak again."""
        self._over.clear()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()

    def set(self, x: float, held: bool) -> int:
        """Hold the stick and the deadman; return the steady time of that event."""
        with self._change:
            self._state = [0.0, x, 0.0, 0.0, 0.0, 0.0], [0] * 10 + [int(held)]
            at_ns = time.monotonic_ns()
            self._say()
        return at_ns

    def unplug(self) -> None:
        """Fall silent."""
        self._over.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._over.wait(0.02) and self._node.context.ok():
            with self._change:
                self._say()

    def _say(self) -> None:
        axes, buttons = self._state
        message = self._kind(axes=array("f", axes), buttons=array("i", buttons))
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


ANSWERS = """
import os, sys
terminal = int(sys.argv[1])
while True:
    os.write(terminal, b"\\x1b[0n" * os.read(terminal, 4096).count(b"\\x1b[5n"))
"""


class PtyTyping:
    """A terminal without key releases, as most are; a process of its own answers for it."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        self.path = os.ttyname(self._theirs)
        command = [sys.executable, "-S", "-c", ANSWERS, str(self._ours)]
        self._process = subprocess.Popen(
            command, pass_fds=(self._ours,), start_new_session=True, stderr=subprocess.DEVNULL
        )

    def type(self, keys: str) -> int:
        """Type; return the steady time of that event."""
        at_ns = time.monotonic_ns()
        os.write(self._ours, keys.encode())
        return at_ns

    def freeze(self) -> None:
        """Answer no more, as behind a network that is gone."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the terminal."""
        self.freeze()
        os.close(self._theirs)
        os.close(self._ours)
