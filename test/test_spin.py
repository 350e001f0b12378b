"""A node's process ends when told to, silently, and says in one line why it could not start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUSY = """
import sys
from rclpy.node import Node
from arfm_ros.core.errors import BundleError
from arfm_ros.nodes import spin
from arfm_ros.nodes.diagnostics import Diagnostics, Health

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


def start(action: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUSY.replace("ACTION", action), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
    assert process.stdout is not None
    assert "ready\n" in iter(process.stdout.readline, "")
    process.send_signal(signum)
    assert end(process) == (0, ["closed"], [])


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
