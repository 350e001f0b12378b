"""Start the stack, watch it until it is done or something breaks, and stop it in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from arfm_ros.bringup import END, NodeProcess
from arfm_ros.core.errors import ArfmError
from arfm_ros.up.stack.process import GRACE_S, Child, Death, NodeDied, stop_all
from arfm_ros.up.watch.readings import Readings

LOOP_PERIOD_S = 0.1
READY_TIMEOUT_S = 90.0
MEMORY_PERIOD_S = 1.0


class NotReady(ArfmError):
    """A node runs but does not get ready."""


@dataclass(slots=True)
class Watched:
    """What the supervisor shows of the run while it goes on."""

    states: dict[str, str] = field(default_factory=dict)  # node -> starting, ready, ...
    resident_mib: dict[str, float] = field(default_factory=dict)  # node -> largest resident set
    ready_s: dict[str, float] = field(default_factory=dict)  # node -> seconds from the start
    interrupted: bool = False


class Supervisor:
    """Run `nodes` as processes; `look` is called with what is known, ten times a second."""

    def __init__(
        self,
        nodes: Sequence[NodeProcess],
        log_folder: Path,
        readings: Readings,
        look: Callable[[Watched], None],
    ) -> None:
        self.watched = Watched({node.name: "waiting" for node in nodes})
        self._nodes, self._log_folder = nodes, log_folder
        self._readings, self._look = readings, look
        self._children: dict[str, Child] = {}
        self._begin_s = time.monotonic()
        self._memory_due_s = 0.0

    def run(self) -> list[str]:
        """Run until rollout_node is done or Ctrl-C; return complaints about the stopping.

        Raises `NodeDied` or `NotReady`; whatever happens, no process is left behind.
        """
        log_folder = self._log_folder
        log_folder.mkdir(parents=True, exist_ok=True)
        complaints: list[str] = []
        with terminate_is_interrupt():
            try:
                self._start(node for node in self._nodes if node.on_exit != END)
                self._until(self._all_ready, READY_TIMEOUT_S)
                self._start(node for node in self._nodes if node.on_exit == END)
                self._until(self._done)
            except KeyboardInterrupt:
                self.watched.interrupted = True
            except NodeDied:
                time.sleep(GRACE_S)
                raise
            finally:
                with interrupts_ignored():
                    complaints = stop_all(self._in_stop_order())
        return complaints

    def _start(self, nodes: Iterable[NodeProcess]) -> None:
        for node in nodes:
            self._children[node.name] = Child(node, self._log_folder)
            self.watched.states[node.name] = "starting"

    def _in_stop_order(self) -> list[Child]:
        return sorted(self._children.values(), key=lambda child: child.node.stop_rank)

    def _until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> None:
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not condition():
            self._raise_on_death()
            self._measure()
            self._look(self.watched)
            if until_s is not None and time.monotonic() > until_s:
                raise NotReady(self._not_ready_text(timeout_s or 0.0))
            time.sleep(LOOP_PERIOD_S)
        self._look(self.watched)

    def _all_ready(self) -> bool:
        for name, child in self._children.items():
            if child.node.ready in self._readings.heard and name not in self.watched.ready_s:
                self.watched.states[name] = "ready"
                self.watched.ready_s[name] = round(time.monotonic() - self._begin_s, 2)
        return all(name in self.watched.ready_s for name in self._children)

    def _done(self) -> bool:
        for child in self._children.values():
            if child.node.on_exit == END:
                status = child.status()
                self.watched.states[child.name] = "running" if status is None else "done"
                return status == 0
        return False

    def _raise_on_death(self) -> None:
        for child in self._children.values():
            status = child.status()
            if status is None or (child.node.on_exit == END and status == 0):
                continue
            death: Death = child.death()
            self.watched.states[child.name] = f"dead: {death.how}"
            self._look(self.watched)
            raise NodeDied(death.text())

    def _not_ready_text(self, timeout_s: float) -> str:
        ready = self.watched.ready_s
        waiting = [child for name, child in self._children.items() if name not in ready]
        said = "\n".join(
            f"  {child.name} says: {(child.last_lines(1) or ('nothing',))[0]}  (log: {child.log})"
            for child in waiting
        )
        names = ", ".join(child.name for child in waiting)
        return f"{names} not ready after {timeout_s:.0f} s\n{said}"

    def _measure(self) -> None:
        now_s = time.monotonic()
        if now_s < self._memory_due_s:
            return
        self._memory_due_s = now_s + MEMORY_PERIOD_S
        for name, child in self._children.items():
            try:
                resident = psutil.Process(child.pid).memory_info().rss / 2**20
            except psutil.Error:
                continue  # it has just ended: `_raise_on_death` says so
            largest = max(resident, self.watched.resident_mib.get(name, 0.0))
            self.watched.resident_mib[name] = round(largest, 1)


@contextmanager
def terminate_is_interrupt() -> Generator[None, None, None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C, also where a shell ignores Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: list[Any] = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


@contextmanager
def interrupts_ignored() -> Generator[None, None, None]:
    """Let nothing interrupt the stopping of the nodes."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: list[Any] = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def log_folder() -> Path:
    """Name a new folder for the nodes' logs, where ROS keeps its own."""
    home = os.environ.get("ROS_LOG_DIR") or os.path.join(
        os.environ.get("ROS_HOME") or os.path.expanduser("~/.ros"), "log"
    )
    return Path(home) / f"arfm_{time.strftime('%Y%m%d_%H%M%S')}_{os.getpid()}"
