"""Whatever starts first, however late the others, on a busy machine: the episodes are run.

No supervisor: the processes of the stack are started as they are, each after its own delay.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from client_rig import Client  # noqa: E402

from arfm_ros.bringup import NODES, NodeProcess, Setup, stack  # noqa: E402
from arfm_ros.nodes.ros import topics  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LOOP = "while True: pass"
PATIENCE_S = 150.0


class Started:
    """The stack's processes, and a node that hears the results of its episodes."""

    def __init__(self, domain: int, folder: Path, loops: int) -> None:
        self.folder, self.client = folder, Client(domain)
        self.episodes = 1 + loops  # a policy that gets no processor may miss one
        self.results: list[dict[str, object]] = []
        topics.subscription(
            self.client.node,
            topics.EPISODE_RESULT,
            lambda message: self.results.append(json.loads(message.data)),
        )
        loop = [sys.executable, "-c", LOOP]
        self.loops = [subprocess.Popen(loop) for _ in range(loops)]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, delays_s: Mapping[str, float]) -> None:
        """Start each node at its time; return after the end of the rollout."""
        out = str(self.folder / "episodes")
        setup = Setup(sim=True, task="reach", episodes=self.episodes, out=out)
        waiting = {node.name: node for node in stack(setup)}
        begin_s = time.monotonic()

        def over() -> bool:
            for name in list(waiting):
                if time.monotonic() - begin_s >= delays_s[name]:
                    self._start(waiting.pop(name))
            dead = {n: p.returncode for n, p in self.processes.items() if p.poll() is not None}
            assert not any(dead.values()) and set(dead) <= {"rollout_node"}, self.words(dead)
            return "rollout_node" in dead

        self.client.until(over, timeout_s=PATIENCE_S)
        self.client.until(lambda: self.results)

    def words(self, dead: Mapping[str, int]) -> str:
        """Quote the last lines of who died."""
        logs = {name: self.folder / f"{name}.log" for name in dead}
        return f"{dead}: " + "; ".join(log.read_text()[-1000:] for log in logs.values())

    def close(self) -> None:
        """End what is left, the way launch does: everything at once."""
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        for process in (*self.loops, *self.processes.values()):
            try:
                process.wait(0.0 if process in self.loops else 15.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.client.close()

    def _start(self, node: NodeProcess) -> None:
        name, env = node.name, os.environ | dict(node.env)
        env |= {"PYTHONPATH": str(ROOT), "ROS_LOG_DIR": str(self.folder)}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                node.command(),
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@pytest.fixture
def idle(ros_domain: int, tmp_path: Path) -> Iterator[Started]:
    made = Started(ros_domain, tmp_path, loops=0)
    yield made
    made.close()


@pytest.fixture
def busy(ros_domain: int, tmp_path: Path) -> Iterator[Started]:
    made = Started(ros_domain, tmp_path, loops=2)
    yield made
    made.close()


def reached(started: Started) -> None:
    """Check the episodes and that nobody ended but the rollout."""
    assert len(started.results) == started.episodes
    assert any(one["success"] for one in started.results)
    ended = {n: p.poll() for n, p in started.processes.items() if p.poll() is not None}
    assert ended == {"rollout_node": 0}


@pytest.mark.slow
def test_all_at_once_beside_busy_loops(busy: Started) -> None:
    busy.run(dict.fromkeys(NODES, 0.0))
    reached(busy)


def test_the_rollout_first_and_the_robot_last(idle: Started) -> None:
    order = ("rollout_node", "recorder_node", "arbiter_node", "policy_node", "sim_node")
    idle.run({name: 2.0 * number for number, name in enumerate(order)})
    reached(idle)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(24))
def test_every_order_and_any_delay_beside_busy_loops(busy: Started, number: int) -> None:
    chance = random.Random(number)
    orders = list(itertools.permutations(NODES))
    delays_s = sorted(chance.uniform(0.0, 20.0) for _ in NODES)
    busy.run(dict(zip(orders[number * 5 % len(orders)], delays_s)))
    reached(busy)
