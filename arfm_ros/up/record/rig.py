"""A recorder and a source of sensors as real processes, and a node that commands the recorder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool, Trigger

from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.patience import ANSWER_S, values_of

WAIT_S = 60.0
REQUESTS = {
    topics.RECORDER_START: Trigger.Request(),
    topics.RECORDER_STOP: Trigger.Request(),
    topics.RECORDER_LABEL: SetBool.Request(data=True),
}


class Caller:
    """Calls the recorder's services and hears its state."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("bench", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._clients = {row: topics.client(self._node, row) for row in REQUESTS}
        self.state: dict[str, str] = {}
        self.message = ""
        topics.subscription(self._node, topics.RECORDER_STATE, self._on_state)

    def publisher(self, row: topics.Topic) -> Any:
        """Create a publisher."""
        return topics.publisher(self._node, row)

    def call(self, row: topics.Service, request: Any = None) -> str:
        """Return the message of a service's answer; raise `ConfigError` where it refuses.

        `request` is needed for services that are not the recorder's.
        """
        if row not in self._clients:
            self._clients[row] = topics.client(self._node, row)
        answer = self._answer(row, REQUESTS[row] if request is None else request)
        if answer.success:
            return str(answer.message)
        if row is topics.RECORDER_START and self.state.get("folder"):
            return self.state["folder"]  # it began, but the answer of the first call was lost
        raise ConfigError(f"{row.name} refused: {answer.message}")

    def _answer(self, row: topics.Service, request: Any) -> Any:
        """Ask until somebody answers: the server that is there may be one that was killed."""
        end_s = time.monotonic() + WAIT_S
        while True:
            self.until(self._clients[row].service_is_ready, f"service {row.name}")
            future = self._clients[row].call_async(request)
            last = time.monotonic() + ANSWER_S >= end_s
            try:
                self.until(future.done, f"answer of {row.name}", ANSWER_S)
            except ConfigError:
                if last:
                    raise
                self._clients[row].remove_pending_request(future)
                continue
            return future.result()

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
        """Hear messages until a condition holds; raise `ConfigError` naming `what` never came."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                raise ConfigError(f"no {what} within {timeout_s:g} s; recorder: {self.message}")
            self._executor.spin_once(timeout_sec=0.01)

    def hear(self, seconds: float) -> None:
        """Let time pass."""
        end_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end_s, "time", seconds + WAIT_S)

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_state(self, message: Any) -> None:
        self.message = message.status[0].message
        self.state = dict(values_of(message))


@contextmanager
def recorder(out: Path, images: str) -> Generator[subprocess.Popen[str], None, None]:
    """Start a recorder that writes below `out`."""
    given = {"out": str(out), "images": images, "min_free_mb": 500, "stop_free_mb": 200}
    words = [word for key, value in given.items() for word in ("-p", f"{key}:={value}")]
    with running("arfm_ros.nodes.recorder_node", "--ros-args", *words) as process:
        yield process


@contextmanager
def source(joints_hz: float, cameras_hz: float, kind: str) -> Generator[Source, None, None]:
    """Start the sensors."""
    words = (str(joints_hz), str(cameras_hz), kind)
    with running("arfm_ros.up.record.source", *words) as process:
        yield Source(process)


class Source:
    """The sensors' process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._line("ready")

    def sent(self) -> dict[str, int]:
        """Ask how many messages of each topic were published."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return dict(json.loads(self._line("{")))

    def _line(self, begin: str) -> str:
        assert self._process.stdout is not None
        for line in iter(self._process.stdout.readline, ""):
            if line.startswith(begin):
                return line
        raise ConfigError("the sensors' process ended: see arfm doctor about DDS")


@contextmanager
def running(module: str, *words: str) -> Generator[subprocess.Popen[str], None, None]:
    """Run a module as a process with pipes for its input and output, killed at the end."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", module, *words]
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
