"""Goals of the gripper controllers against real action servers in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from controller_rig import gripper

pytest.importorskip("rclpy")
pytest.importorskip("control_msgs", reason="control_msgs is not installed here")

import rclpy
from rclpy.action import ActionClient

from arfm_ros.core.safety.decision import Decision
from arfm_ros.nodes.ros.topics import interface
from arfm_ros.robots.commands.goals import GoalLane
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.values import F64

KINDS = {
    "gripper_command": "GripperCommand",
    "parallel_gripper_command": "ParallelGripperCommand",
}
BLOCKS_S, PATIENCE_S, TICK_S = 0.3, 20.0, 0.01


def nothing_ahead(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
    return np.zeros((0, 1)), np.zeros((0, 1))


class Sender:
    """Ticks a gripper controller and sends its goals; nothing here ever waits for the server."""

    def __init__(self, kind: str, preempts: bool) -> None:
        self.node = rclpy.create_node("gripper_client")
        group = gripper(kind, scale=-1.25, offset=1.0)  # 0 open to 0.8 rad closed
        self._controller, self._lane = make_controller(group), GoalLane(preempts)
        (topic,) = self._controller.topics(group)
        self.name, self.kind = topic.name, interface(topic.interface)
        self._client = ActionClient(self.node, self.kind, topic.name)
        self.slowest_s, self.reached = 0.0, list[bool]()

    def ready(self) -> bool:
        """Wait for the server."""
        return bool(self._client.wait_for_server(timeout_sec=PATIENCE_S))

    def tick(self, opening: float) -> None:
        """Do one tick of 10 ms."""
        begin = time.monotonic()
        now_ns = time.monotonic_ns()
        decision = Decision(np.array([opening]), np.zeros(1), "policy")
        for out in self._controller.commands(decision, now_ns, nothing_ahead):
            self._lane.offer(out.value)
        due = self._lane.next(now_ns)
        if due is not None:
            number, value = due
            future = self._client.send_goal_async(value.message(now_ns, interface))
            future.add_done_callback(lambda done: self._answered(number, done.result()))
        self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
        until = begin + TICK_S
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self.node, timeout_sec=left)

    def _answered(self, number: int, goal: Any) -> None:
        if not goal.accepted:
            self._lane.finished(number)
            return
        goal.get_result_async().add_done_callback(lambda done: self._ended(number, done.result()))

    def _ended(self, number: int, answer: Any) -> None:
        self.reached.append(bool(answer.result.reached_goal))
        self._lane.finished(number)


@pytest.fixture(params=sorted(KINDS))
def served(request: pytest.FixtureRequest, ros_domain: int) -> Iterator[tuple[str, Any]]:
    """Start the server of a kind; end it."""
    kind = request.param
    group = gripper(kind)
    (topic,) = make_controller(group).topics(group)
    words = [str(Path(__file__).with_name("gripper_server.py")), KINDS[kind], topic.name]
    server = subprocess.Popen(
        [sys.executable, *words, str(BLOCKS_S)], stdout=subprocess.PIPE, text=True
    )
    rclpy.init()
    try:
        yield kind, server
    finally:
        rclpy.try_shutdown()
        server.kill()
        server.wait(timeout=PATIENCE_S)


@pytest.mark.parametrize("preempts", [True, False])
def test_a_closing_ramp_reaches_the_server_and_never_holds_up_a_tick(
    served: tuple[str, Any], preempts: bool
) -> None:
    kind, server = served
    assert server.stdout.readline() == "ready\n"
    sender = Sender(kind, preempts)
    assert sender.ready()
    sender.tick(1.0)
    for opening in np.linspace(1.0, 0.0, 40):
        sender.tick(float(opening))
    deadline = time.monotonic() + PATIENCE_S
    ended = 0 if preempts else 2
    while time.monotonic() < deadline and (
        not sender.reached or not sender.reached[-1] or len(sender.reached) < ended
    ):
        sender.tick(0.0)
    for _ in range(round(2 * BLOCKS_S / TICK_S)):
        sender.tick(0.0)
    server.terminate()
    goals = [float(line.split()[1]) for line in server.stdout if line.startswith("goal")]
    assert goals[0] == 0.0 and goals[-1] == pytest.approx(0.8)  # open, then closed
    assert (np.diff(goals) > 0).all() and len(goals) <= 8
    assert sender.reached[-1]
    assert sender.slowest_s < BLOCKS_S  # a tick that waited for the server would take that long
    if not preempts:
        assert all(sender.reached)
