"""Turn the signals that end a process into an orderly stop of its node.

rclpy's own handlers shut the context down at once: nothing can be published any more, so an arm
in motion is left with the last velocity it was told. Here the node is asked to stop first, and
the executor keeps spinning until it has, or until its time is up.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
import traceback
from types import FrameType
from typing import Any

from rclpy.task import Future

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_S = 2.0  # for a node that does not say how long its stop may take
LOOK_S = 0.01  # between two looks at whether the node has stopped
BUSY_S = 1.0  # a callback that does not return by then is interrupted


class Stopping:
    """Watch for signals on a thread of its own, so that a busy executor keeps nobody waiting.

    Until `watch` a signal interrupts the main thread like Ctrl-C. From then on the first signal
    calls the node's `begin_stop()`, waits until its `stopped()` is true or `STOP_S` seconds have
    passed, and completes `over`; all three are optional, and both methods are called from this
    thread. Further signals change nothing: a second Ctrl-C must not abort the braking.
    """

    def __init__(self) -> None:
        self.over: Any = Future()
        self._node: Any = None
        self._interrupts = True  # whether a signal raises KeyboardInterrupt in the main thread
        self._left = threading.Event()  # the executor spins no more
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)  # as `set_wakeup_fd` wants it
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)

    def begin(self) -> None:
        """Take the signals over; call it in the main thread."""
        for number in SIGNALS:
            hung_up = number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
            if not hung_up:  # `nohup` asks for that one to be ignored
                signal.signal(number, self._on_signal)
        # Python's handlers wait for the main thread, which waits in the middleware: the
        # interpreter's own handler writes to this socket at once.
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._thread.start()

    def watch(self, node: Any) -> None:
        """Stop `node` from now on where a signal comes."""
        self._node = node
        self._interrupts = False

    def leave(self) -> None:
        """Say that the executor spins no more; what follows is cleaning up, never interrupted."""
        self._interrupts = False
        self._left.set()
        for number in SIGNALS:  # also while the interpreter ends, which restores the default
            signal.signal(number, signal.SIG_IGN)

    def close(self) -> None:
        """End the thread. The signals stay without effect: the process is about to end."""
        self.leave()
        signal.set_wakeup_fd(-1)
        self._mouth.close()
        self._thread.join(timeout=1.0)
        self._ear.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._interrupts:
            raise KeyboardInterrupt

    def _run(self) -> None:
        while (told := self._ear.recv(1)) and told[0] not in SIGNALS:
            continue
        if not told or self._node is None:
            return
        try:
            self._stop()
        except Exception:  # noqa: BLE001 - thread border: a stop that fails still ends the process
            traceback.print_exc()
        self.over.set_result(None)
        if not self._left.wait(BUSY_S):
            self._interrupts = True
            # a real signal, since only that one wakes a main thread that waits for something
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _stop(self) -> None:
        node, until_s = self._node, time.monotonic() + getattr(self._node, "STOP_S", STOP_S)
        if hasattr(node, "begin_stop"):
            node.begin_stop()
        if not hasattr(node, "stopped"):
            return
        while not node.stopped() and time.monotonic() < until_s:
            if self._left.wait(LOOK_S):
                return
