"""One node of the stack as a child process: its own process group, its own log file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arfm_ros.bringup import NodeProcess
from arfm_ros.core.errors import ArfmError
from arfm_ros.up.stack.child import SUPERVISOR_VARIABLE

CHILD = "arfm_ros.up.stack.child"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Fast DDS says so when a node that was killed before left a file in /dev/shm; it takes another.
NOISE = "open_and_lock_file failed"
# Asked nicely, asked firmly, ended.
STOP_LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
# After a death the robot still comes to rest at its chunk's end and the recorder writes it down.
GRACE_S = 1.0
FORCED_S = 2.0  # after each signal but the first, whose time the node's description says


class NodeDied(ArfmError):
    """A node ended that should not have."""


def how_it_ended(status: int) -> str:
    """Describe an exit status, or minus the number of a signal."""
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"


@dataclass(frozen=True, slots=True)
class Death:
    """How a node ended that should not have."""

    name: str
    how: str  # "exit status 1", "signal SIGKILL"
    last_lines: tuple[str, ...]
    log: Path

    def text(self) -> str:
        """Return the message for the user."""
        quoted = "\n".join(f"    {line}" for line in self.last_lines) or "    (it said nothing)"
        return f"{self.name} died ({self.how}); its last lines:\n{quoted}\n  log: {self.log}"


class Child:
    """A started node."""

    def __init__(self, node: NodeProcess, log_folder: Path) -> None:
        self.node = node
        self.log = log_folder / f"{node.name}.log"
        env = {**os.environ, **node.env, SUPERVISOR_VARIABLE: str(os.getpid())}
        command = [sys.executable, "-m", CHILD, node.module, *node.ros_arguments()]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def status(self) -> int | None:
        """Return the exit status (minus the signal's number), None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int = 12) -> tuple[str, ...]:
        """Return the end of the log."""
        text = COLOUR.sub("", self.log.read_text(errors="replace")[-8000:])
        lines = [line for line in text.splitlines() if line.strip() and NOISE not in line]
        return tuple(lines[-count:])

    def death(self) -> Death:
        """Describe how it ended; only after `status` gave one."""
        how = how_it_ended(self._process.returncode)
        return Death(self.name, how, self.last_lines(), self.log)

    def send(self, number: int) -> None:
        """Signal the whole process group; one that is gone is no error."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def stop_all(children: Sequence[Child]) -> list[str]:
    """Stop `children` in order, each asked before the next; return who had to be forced."""
    forced = []
    for child in children:
        for number in STOP_LADDER:
            if child.status() is None:
                child.send(number)
            if child.wait(child.node.stop_s if number == signal.SIGINT else FORCED_S):
                break
            forced.append(f"{child.name} did not stop on {signal.Signals(number).name}")
        child.send(signal.SIGKILL)  # what it may have started itself
    return forced
