"""A simulated arm, its arbiter and a device, as processes: for measuring what a person feels."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.signals import SignalHandlerOptions

from arfm_ros.bringup import NODES, NodeProcess, environment
from arfm_ros.core.errors import ArfmError
from arfm_ros.nodes.arbiter.inputs import moment
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.up.stack.process import Child, stop_all

F64 = NDArray[np.float64]
START_S, ASK_S = 60.0, 2.0
LOOKAHEAD_MS = 4  # a simulated arm that renders nothing need not run ahead, and answers sooner
EVERYTHING = topics.Qos(reliable=False, depth=50)


class NotInTime(ArfmError):
    """Something that had to happen did not."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A message: its positions [A], and the steady time of its stamp.

    Of a target that is the device's, so that for one the time of its arrival counts.
    """

    at_ns: int
    positions: F64


class SharedArm:
    """Simulation, arbiter and teleop_node; what they say is kept by topic, newest last."""

    def __init__(self, logs: Path, **teleop: object) -> None:
        self._logs = logs
        self.heard: dict[str, list[Heard]] = {"target": [], "command": [], "state": []}
        self.engaged: list[tuple[int, bool]] = []
        self.authority: list[tuple[int, str]] = []
        self.said: dict[str, tuple[str, dict[str, str]]] = {}  # node -> message and values
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("shared_arm", context=self.context)
        self._listen()
        self._spinner = Spinner(context=self.context)
        self._spinner.add_node(self.node)
        self._thread = threading.Thread(target=self._spinner.spin_to_shutdown, daemon=True)
        self._thread.start()
        logs.mkdir(parents=True, exist_ok=True)
        env = environment(True)
        sim = {"cameras": [""], "robot": "fr3", "lookahead_ms": LOOKAHEAD_MS}
        given = (("sim_node", sim), ("arbiter_node", {"speed": 1.0}), ("teleop_node", teleop))
        self.children = {name: self._start(name, parameters, env) for name, parameters in given}

    def engage(self) -> None:
        """Let the arbiter drive; it waits for everybody to be there."""
        self.until(lambda: bool(self.heard["state"]) and bool(self.engaged), START_S)
        client = topics.client(self.node, topics.ARBITER_ENGAGE)
        request = topics.interface(topics.ARBITER_ENGAGE.type_name).Request(data=True)
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            if client.wait_for_service(ASK_S):
                answer = client.call_async(request)
                asked_s = time.monotonic()
                while not answer.done() and time.monotonic() - asked_s < ASK_S:
                    time.sleep(0.02)
                if answer.done() and answer.result().success:
                    return
            time.sleep(0.2)
        raise NotInTime(f"the arbiter was not engaged in {START_S:.0f} s; logs: {self._logs}")

    def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait for a condition; raises `NotInTime`."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                raise NotInTime(f"not in {timeout_s:g} s: {self.said}; logs: {self._logs}")
            time.sleep(0.001)

    def newest(self, name: str) -> F64:
        """Return the positions that were heard last."""
        return self.heard[name][-1].positions

    def first_after(self, name: str, at_ns: int, rest: F64 | None, least: float) -> int | None:
        """Return when positions differed from `rest` by more than `least`; None if they did not.

        Without `rest` any message after `at_ns` counts.
        """
        for one in reversed_until(self.heard[name], at_ns):
            if rest is None or np.abs(one.positions - rest).max() > least:
                return one.at_ns
        return None

    def at_rest(self, least: float = 1e-5) -> bool:
        """Tell whether neither command nor arm moved for 0.1 s, with nobody at the controls."""
        if not self.engaged or self.engaged[-1][1]:
            return False
        for name, count in (("command", 10), ("state", 25)):
            last = [one.positions for one in self.heard[name][-count:]]
            if len(last) < count or np.ptp(np.array(last), axis=0).max() > least:
                return False
        return True

    def close(self) -> None:
        """Stop everything that was started."""
        children = sorted(self.children.values(), key=lambda child: child.node.stop_rank)
        stop_all(children)
        self.context.try_shutdown()
        self._thread.join(timeout=2.0)
        self._spinner.shutdown(timeout_sec=1.0)
        self.node.destroy_node()

    def _start(self, name: str, parameters: dict[str, Any], env: dict[str, str]) -> Child:
        return Child(NodeProcess(name, parameters, env=env, stop_rank=NODES[name].stop_rank),
                     self._logs)  # fmt: skip

    def _listen(self) -> None:
        rows = {
            "target": topics.TELEOP_TARGET,
            "command": topics.ARBITER_COMMAND,
            "state": topics.JOINT_STATES,
        }
        for name, row in rows.items():
            topics.subscription(self.node, row, self._keeper(name), EVERYTHING)
        plain = ((topics.TELEOP_ENGAGED, self.engaged), (topics.AUTHORITY, self.authority))
        for row, kept in plain:
            topics.subscription(self.node, row, self._noter(kept))
        topics.subscription(self.node, topics.DIAGNOSTICS, self._on_diagnostics)

    def _keeper(self, name: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            now, positions = moment(self.node), np.array(message.position[:7])
            stamp_ns = now.steady(time_to_ns(message.header.stamp))
            at_ns = now.steady_ns if name == "target" else stamp_ns
            self.heard[name].append(Heard(at_ns, positions))

        return keep

    @staticmethod
    def _noter(kept: list[Any]) -> Callable[[Any], None]:
        return lambda message: kept.append((time.monotonic_ns(), message.data))

    def _on_diagnostics(self, message: Any) -> None:
        for one in message.status:
            values = {pair.key: pair.value for pair in one.values}
            self.said[one.name.split(":")[0]] = (one.message, values)


def reversed_until(kept: list[Heard], at_ns: int) -> list[Heard]:
    """Return what came after `at_ns`, in order, without walking through all of it."""
    k = len(kept)
    while k and kept[k - 1].at_ns > at_ns:
        k -= 1
    return kept[k:]
