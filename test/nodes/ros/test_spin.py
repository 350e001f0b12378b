"""A node's process stops in order when told to, and says in one line why it could not start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUSY = """
import sys
from rclpy.node import Node
from arfm_ros.core.errors import BundleError
from arfm_ros.nodes.ros import spin
from arfm_ros.nodes.ros.diagnostics import Diagnostics, Health

class Busy(Node):
    def __init__(self):
        super().__init__("busy")
        self.health = Diagnostics(self, Health)
        self.create_timer(0.001, self.tick)
        self.ticks = 0

    def tick(self):
        self.health.publish()
        self.ticks += 1
        if self.ticks == 5:
            ACTION

    def close(self):
        print("closed", flush=True)

sys.exit(spin.run(Busy))
"""
# A node that needs a while to stop, and shows what its executor still does meanwhile.
BRAKING = """
import sys, threading, time
from rclpy.node import Node
from std_msgs.msg import String
from arfm_ros.nodes.ros import spin

class Braking(Node):
    STOP_S = 1.0

    def __init__(self):
        super().__init__("braking")
        self.words = self.create_publisher(String, "words", 10)
        self.ticks_left = None
        self.create_timer(0.01, self.tick)
        self.greeting = "ready"

    def tick(self):
        if self.greeting:
            print(self.greeting, flush=True)
            self.greeting = ""
        self.words.publish(String(data="still here"))
        if self.ticks_left is not None:
            self.ticks_left -= 1
        BUSY

    def begin_stop(self):
        print("begin", flush=True)
        self.begun_s, self.ticks_left = time.monotonic(), TICKS

    def stopped(self):
        return self.ticks_left <= 0

    def close(self):
        self.words.publish(String(data="the last"))
        took = time.monotonic() - self.begun_s
        print("braked" if self.stopped() else "not braked", took < 1.9, flush=True)

sys.exit(spin.run(Braking))
"""


def start(action: str, *arguments: str) -> subprocess.Popen[str]:
    return script(BUSY.replace("ACTION", action), *arguments)


def braking(ticks: int, busy: str = "pass") -> subprocess.Popen[str]:
    """Start a node that has stopped `ticks` ticks after it was told to, and wait for it."""
    process = script(BRAKING.replace("TICKS", str(ticks)).replace("BUSY", busy))
    wait_for("ready", process)
    return process


def wait_for(line: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert f"{line}\n" in iter(process.stdout.readline, "")


def script(text: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_hangup,
    )


def _heed_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, also by children


def lines(text: str) -> list[str]:
    """Leave out what the middleware prints of its own accord, on either stream."""
    return [line for line in text.splitlines() if line and "RTPS_" not in line]


def end(process: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Return exit code and the lines of stdout and stderr."""
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, lines(out), lines(err)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_busy_node_without_a_traceback(ros_domain: int, signum: int) -> None:
    process = start('print("ready", flush=True)')
    wait_for("ready", process)
    process.send_signal(signum)
    assert end(process) == (0, ["closed"], [])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_node_goes_on_publishing_until_it_has_stopped(ros_domain: int, signum: int) -> None:
    process = braking(ticks=20)
    process.send_signal(signum)
    assert end(process) == (0, ["begin", "braked True"], [])


def test_a_second_signal_does_not_abort_the_stopping(ros_domain: int) -> None:
    process = braking(ticks=30)
    process.send_signal(signal.SIGINT)
    wait_for("begin", process)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(signum)
    assert end(process) == (0, ["braked True"], [])


def test_a_node_that_does_not_stop_ends_when_its_time_is_up(ros_domain: int) -> None:
    process = braking(ticks=10**9)
    process.send_signal(signal.SIGINT)
    assert end(process) == (0, ["begin", "not braked True"], [])


def test_a_busy_executor_keeps_no_stop_from_beginning(ros_domain: int) -> None:
    """The stop begins on another thread; a callback that never returns is interrupted after it."""
    process = braking(ticks=0, busy="print('busy', flush=True), threading.Event().wait()")
    wait_for("busy", process)
    process.send_signal(signal.SIGINT)
    assert end(process) == (0, ["begin", "braked True"], [])


def test_a_signal_while_the_node_is_still_being_made_ends_the_process(ros_domain: int) -> None:
    making = "print('making', flush=True), threading.Event().wait()"
    text = BRAKING.replace('self.greeting = "ready"', making)
    process = script(text.replace("TICKS", "0").replace("BUSY", "pass"))
    wait_for("making", process)
    process.send_signal(signal.SIGINT)
    assert end(process) == (0, [], [])


def test_a_stop_that_fails_still_ends_the_process_and_says_so(ros_domain: int) -> None:
    text = BRAKING.replace('print("begin", flush=True)', "raise KeyError('x')")
    text = text.replace("TICKS", "0").replace("BUSY", "self.begun_s, self.ticks_left = 0.0, 0")
    process = script(text)
    wait_for("ready", process)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, out, err[-1]) == (0, ["braked False"], "KeyError: 'x'")


def test_an_error_of_ours_becomes_one_line_and_exit_code_1(ros_domain: int) -> None:
    code, out, err = end(start('raise BundleError("policy.json is missing")'))
    assert (code, out, err) == (1, ["closed"], ["error: policy.json is missing"])


def test_a_callback_can_end_the_process_with_a_code(ros_domain: int) -> None:
    assert end(start("raise SystemExit(3)")) == (3, ["closed"], [])


def test_a_programming_error_keeps_its_traceback(ros_domain: int) -> None:
    code, _, err = end(start("raise KeyError('x')"))
    assert code == 1 and err[-1] == "KeyError: 'x'" and err[0].startswith("Traceback")


def test_a_parameter_that_does_not_exist_ends_the_process(ros_domain: int) -> None:
    code, _, err = end(start("pass", "--ros-args", "-p", "speed:=1"))
    assert code == 1 and len(err) == 1 and "busy has no parameter 'speed'" in err[0]
