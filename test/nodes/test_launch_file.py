"""The launch file with the real launch system, where that and this package are installed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

WITHOUT = "needs ROS 2's launch_ros and this package built by colcon: neither comes as a wheel"
pytest.importorskip("launch_ros", reason=WITHOUT)
index = pytest.importorskip("ament_index_python", reason=WITHOUT)
if "arfm_ros" not in index.get_packages_with_prefixes():
    pytest.skip(WITHOUT, allow_module_level=True)

NODES = ("sim_node", "policy_node", "arbiter_node", "recorder_node", "rollout_node")
TIMEOUT_S = 150.0


class Launched:
    """`ros2 launch` in a session of its own, as from a terminal."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "said.txt"
        env = os.environ | {"ROS_LOG_DIR": str(folder / "log"), "PYTHONUNBUFFERED": "1"}
        command = ["ros2", "launch", "arfm_ros", "franka.launch.py", "sim:=true", "task:=reach"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes: dict[str, psutil.Process] = {}

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < end_s, self.said()[-3000:]
            time.sleep(0.1)

    def until_an_episode_is_over(self) -> None:
        """Wait for it, and note the nodes' processes."""
        self.until(lambda: "episode 0: reach" in self.said() or self.over())
        for child in psutil.Process(self.process.pid).children():
            for name in NODES:
                if any(word.endswith(f"/{name}") for word in child.cmdline()):
                    self.nodes[name] = child
        assert set(self.nodes) == set(NODES), self.said()[-3000:]

    def over(self) -> bool:
        return self.process.poll() is not None

    def left_behind(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.is_running()]

    def close(self) -> None:
        for process in self.nodes.values():
            if process.is_running():
                process.kill()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def launched(ros_domain: int, tmp_path: Path) -> Iterator[Launched]:
    made = Launched(tmp_path)
    yield made
    made.close()


def test_ctrl_c_reaches_all_at_once_and_leaves_no_process(launched: Launched) -> None:
    launched.until_an_episode_is_over()
    os.killpg(launched.process.pid, signal.SIGINT)
    launched.until(launched.over)
    assert launched.left_behind() == []
    assert "escalating" not in launched.said() and "Traceback" not in launched.said()


def test_after_the_last_episode_the_launch_says_so_and_ends(launched: Launched) -> None:
    launched.until_an_episode_is_over()
    launched.until(launched.over)
    assert launched.process.returncode == 0
    assert "rollout_node is done: the launch ends" in launched.said()
    assert launched.left_behind() == []


@pytest.mark.parametrize("name", ["arbiter_node", "policy_node", "recorder_node", "sim_node"])
def test_a_node_that_dies_ends_the_launch_with_its_name(launched: Launched, name: str) -> None:
    launched.until_an_episode_is_over()
    launched.nodes[name].kill()
    launched.until(launched.over)
    assert launched.process.returncode == 1
    assert f"{name} died (signal SIGKILL)" in launched.said()
    assert launched.left_behind() == []
