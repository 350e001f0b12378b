"""What the robot does, as the person's device has to know it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.latency import StageLatency
from arfm_ros.nodes.arbiter.inputs import moment
from arfm_ros.nodes.arbiter.robot_states import RobotStates
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.robots.robot import Robot
from arfm_ros.teleop.device import F64, TeleopState
from arfm_ros.wire.joints import JointStateReader

HUMAN = "human"
GRIPPER_AGE_S = 1.0
STATE_OLD_NS = COMMAND_OLD_NS = 200_000_000
REMEMBERED = 64  # states: a quarter of a second


class RobotView:
    """Measured positions, the command in force, who drives; and how soon commands follow."""

    def __init__(self, node: Node, robot: Robot, latency: StageLatency) -> None:
        self._node, self._names, self._latency = node, robot.names, latency
        self._states = RobotStates(robot, GRIPPER_AGE_S)
        self._past: deque[tuple[int, F64]] = deque(maxlen=REMEMBERED)
        self._command: tuple[int, F64] | None = None
        self.authority = ""
        self._taken_ns = 0  # event with which the person took over, until it is answered
        self._sent_ns = 0  # newest target, until a command follows
        self._problem = "no joint state yet"
        self._readers = [
            topics.subscription(
                node,
                topics.JOINT_STATES.at(name),
                partial(self._on_state, name, JointStateReader()),
                topics.NEWEST,
                raw=True,
            )
            for name in self._states.topics
        ]
        topics.subscription(node, topics.ARBITER_COMMAND, self._on_command, topics.NEWEST)
        topics.subscription(node, topics.AUTHORITY, self._on_authority)

    def state(self, now_ns: int) -> TeleopState | None:
        """Return what is known now; None where the arm's state is missing or old."""
        if not self._past or now_ns - self._past[-1][0] > STATE_OLD_NS:
            return None
        stamp_ns, position = self._past[-1]
        command = position
        if self._command is not None and now_ns - self._command[0] < COMMAND_OLD_NS:
            command = self._command[1]
        return TeleopState(self._names, position, command, self.authority, stamp_ns)

    def problem(self, now_ns: int) -> str:
        """Say why there is no state."""
        if not self._past:
            return self._problem
        return f"joint states are {(now_ns - self._past[-1][0]) / 1e6:.0f} ms old"

    def at(self, stamp_ns: int) -> F64 | None:
        """Return the positions [A] that were measured nearest to a steady time."""
        if not self._past:
            return None
        return min(self._past, key=lambda one: abs(one[0] - stamp_ns))[1]

    def took_over(self, event_ns: int) -> None:
        """Note the event with which a person begins to drive."""
        self._taken_ns = event_ns

    def sent(self, now_ns: int) -> None:
        """Note that a target was published."""
        self._sent_ns = now_ns

    def hear_task(self, callback: Callable[[F64, dict[str, str], int], None]) -> None:
        """Call back with positions, what `task/state` says, and the steady time of both."""

        def on_task(message: Any) -> None:
            stamp_ns = moment(self._node).steady(time_to_ns(message.header.stamp))
            positions = self.at(stamp_ns)
            if positions is not None and message.status:
                values = {pair.key: pair.value for pair in message.status[0].values}
                callback(positions, values, stamp_ns)

        topics.subscription(self._node, topics.TASK_STATE, on_task)

    def _on_state(self, topic: str, reader: JointStateReader, cdr: bytes) -> None:
        try:
            found = self._states.take(topic, reader.read(cdr), moment(self._node))
        except SpecError as error:
            self._problem = str(error)
            return
        if found is not None:
            self._past.append((found[1], found[0]))

    def _on_command(self, message: Any) -> None:
        if tuple(message.name) != self._names:
            return
        at_ns = moment(self._node).steady(time_to_ns(message.header.stamp))
        self._command = (at_ns, np.array(message.position))
        if self.authority != HUMAN:
            return
        if self._taken_ns and at_ns >= self._taken_ns:
            self._latency.add("event_to_command", at_ns - self._taken_ns)
            self._taken_ns = 0
        if self._sent_ns and at_ns >= self._sent_ns:
            self._latency.add("target_to_command", at_ns - self._sent_ns)
            self._sent_ns = 0

    def _on_authority(self, message: Any) -> None:
        self.authority = message.data
