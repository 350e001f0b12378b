"""The real nodes, told things by publishers with the defaults of other people."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from client_rig import Client  # noqa: E402
from foreign_rig import Foreigners  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402
from arfm_ros.nodes.ros.patience import Asking, Patience  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
ESTOP = "estop=std_msgs/msg/Bool"


class Listener(Client):
    """Hears the diagnostics of nodes that it starts."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.said: list[tuple[str, int, str]] = []  # node, level, message
        self.processes: list[subprocess.Popen[bytes]] = []
        topics.subscription(self.node, topics.DIAGNOSTICS, self._on_diagnostics)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"arfm_ros.nodes.{name}", "--ros-args", *arguments]
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
        self.processes.append(process)
        return process

    def hears(self, node: str, *words: str, level: int = 0) -> None:
        """Wait for a message of a node, at this level at least, with all the words."""
        self.until(
            lambda: any(
                node in name and found >= level and all(word in text for word in words)
                for name, found, text in self.said
            ),
            timeout_s=30.0,
        )

    def last_words(self) -> str:
        return f"heard {self.said[-3:]}"

    def _on_diagnostics(self, message: Any) -> None:
        self.said += [(one.name, one.level[0], one.message) for one in message.status]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        super().close()


@pytest.fixture
def listener(ros_domain: int) -> Iterator[Listener]:
    made = Listener(ros_domain)
    yield made
    made.close()


@pytest.fixture
def foreigners() -> Iterator[Foreigners]:
    made = Foreigners()
    yield made
    made.close()


@pytest.mark.parametrize("offer", ["RELIABLE=VOLATILE", "BEST_EFFORT=VOLATILE"])
def test_an_e_stop_of_any_later_publisher_is_heard(
    listener: Listener, foreigners: Foreigners, offer: str
) -> None:
    listener.start("arbiter_node")
    listener.hears("arbiter_node")
    foreigners.publish(5, f"{ESTOP}={offer}")
    listener.hears("arbiter_node", "e-stop", level=1)


def test_an_e_stop_that_was_latched_before_the_arbiter_began_is_heard(
    listener: Listener, foreigners: Foreigners
) -> None:
    foreigners.publish(0, f"{ESTOP}=RELIABLE=TRANSIENT_LOCAL")
    listener.start("arbiter_node")
    listener.hears("arbiter_node", "e-stop", level=1)


def test_an_input_of_another_type_is_an_error_of_whoever_needs_it(
    listener: Listener, foreigners: Foreigners, tmp_path: Path
) -> None:
    listener.start("arbiter_node")
    listener.start("recorder_node", "-p", f"out:={tmp_path}")
    listener.hears("arbiter_node"), listener.hears("recorder_node")
    foreigners.publish(5, "estop=std_msgs/msg/String=RELIABLE=VOLATILE")
    for node in ("arbiter_node", "recorder_node"):
        listener.hears(node, "/estop: /foreigner", "std_msgs/msg/Bool", level=2)


def test_a_restarted_arbiter_is_soon_the_only_publisher(listener: Listener) -> None:
    """What a controller counts: it ignores two, and the dead one stays for its lease."""
    count: Callable[[], int] = lambda: listener.node.count_publishers("target_joint")  # noqa: E731
    first = listener.start("arbiter_node")
    listener.until(lambda: count() == 1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    begin_s = time.monotonic()
    listener.start("arbiter_node")
    listener.until(lambda: count() == 2 or time.monotonic() - begin_s > 3.0, timeout_s=5.0)
    listener.until(lambda: count() == 1)
    assert time.monotonic() - begin_s < 4.0


def test_a_restarted_recorder_answers_though_its_dead_twin_still_counts(
    listener: Listener, tmp_path: Path
) -> None:
    rows = (topics.RECORDER_START, topics.RECORDER_STOP)
    asking = Asking(listener.node, rows, Patience(listener.node, seconds=20.0))
    answers: list[Any] = []
    ask = lambda row: answers.append(asking.ask(row, Trigger.Request()))  # noqa: E731

    def asked(row: topics.Service) -> str:
        """Ask on a thread, as the rollout node does, while this one spins."""
        answers.clear()
        thread = threading.Thread(target=ask, args=(row,))
        thread.start()
        listener.until(lambda: not thread.is_alive(), timeout_s=30.0)
        assert answers and answers[0].success, answers
        return str(answers[0].message)

    for _ in range(2):
        recorder = listener.start("recorder_node", "-p", f"out:={tmp_path}")
        assert asked(topics.RECORDER_START) == asked(topics.RECORDER_STOP)
        recorder.kill(), recorder.wait()
