"""The stack under test as processes: the nodes as `bringup` has them, a relay and a witness."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from arfm_ros.bringup import NodeProcess, Setup, environment, stack
from arfm_ros.core.errors import ArfmError
from arfm_ros.faults.inject.wiring import remaps
from arfm_ros.up.stack.process import Child, stop_all

POLICY = "fr3_tabletop"
ANSWER_S = 2.0
ALL_NODES = ("sim_node", "policy_node", "arbiter_node")
# Parameters beside those of `bringup` that some kinds need, by node
VARIANTS: dict[str, dict[str, dict[str, object]]] = {
    "plain": {},
    "heartbeat": {"arbiter_node": {"estop_heartbeat": 0.5}},
    "clock": {name: {"use_sim_time": True} for name in ALL_NODES},
}


def nodes(extra: Mapping[str, Mapping[str, object]]) -> dict[str, NodeProcess]:
    """Return robot, policy and arbiter, with `extra` parameters by node."""
    setup = Setup(sim=True, policy=POLICY, task="lift", record=False)
    chosen = (node for node in stack(setup) if node.name != "rollout_node")
    return {
        node.name: replace(
            node,
            parameters={**node.parameters, **extra.get(node.name, {})},
            remaps=remaps(node.name),
        )
        for node in chosen
    }


class Companion:
    """A process of the fault suite itself, with a pipe for orders and one for answers."""

    def __init__(self, module: str, *words: str) -> None:
        command = [sys.executable, "-m", "arfm_ros.up.stack.child", f"arfm_ros.faults.{module}"]
        self._log: list[str] = []
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._process = subprocess.Popen(
            [*command, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment(True)},
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def order(self, **what: object) -> None:
        """Send one order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def answer(self, timeout_s: float = ANSWER_S) -> dict[str, Any] | None:
        """Return the next answer, None where none comes in time."""
        try:
            return self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def forget_answers(self) -> None:
        """Drop what was said until now."""
        while not self._answers.empty():
            self._answers.get_nowait()

    def close(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._answers.put(json.loads(line))


class Stack:
    """Processes that are started, hurt, restarted and stopped."""

    def __init__(self, folder: Path, variant: str = "plain") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.record = folder / "witness.bin"
        self.record.unlink(missing_ok=True)
        self._folder, self._nodes = folder, nodes(VARIANTS[variant])
        self.relay = Companion("inject.relay", *(("clock",) if variant == "clock" else ()))
        self._witness = Companion("witness", str(self.record))
        self._children = {name: Child(node, folder) for name, node in self._nodes.items()}

    def pid(self, name: str) -> int:
        """Return the process id of a node, which leads its group."""
        return self._children[name].pid

    def signal(self, name: str, number: int) -> int:
        """Signal a node; return the steady time in ns."""
        self._children[name].send(number)
        return time.monotonic_ns()

    def last_words(self) -> Sequence[str]:
        """Tell of the nodes that have ended."""
        children = self._children.values()
        return [child.death().text() for child in children if child.status() is not None]

    def restart(self, name: str, **parameters: object) -> None:
        """Start a node again; one that still runs is asked to stop first."""
        child = self._children[name]
        if child.status() is None:
            stop_all([child])
        node = self._nodes[name]
        node = replace(node, parameters={**node.parameters, **parameters})
        self._children[name] = Child(node, self._folder)

    def wait_end(self, name: str, timeout_s: float) -> bool:
        """Wait for the end of a node; return whether it came."""
        return self._children[name].wait(timeout_s)

    def close(self) -> None:
        """Stop everything in order."""
        for child in self._children.values():
            child.send(signal.SIGCONT)
        stop_all(sorted(self._children.values(), key=lambda child: child.node.stop_rank))
        self.relay.close()
        self._witness.close()


class Broken(ArfmError):
    """The stack does not come to where a fault can be injected."""
