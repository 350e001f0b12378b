"""How smoothly the arm moved in an episode, from what the robot published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from arfm_ros.core.safety.limits import F64
from arfm_ros.core.safety.smoothness import Smoothness, smoothness_of
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.robots.robot import Robot
from arfm_ros.wire.cdr import header_stamp_ns as stamp_of

PERIOD_S = 0.01
NS = 1_000_000_000
STATES_MAX = 20_000  # of an episode that does not end


class FirstArm:
    """The first arm of a robot: where its states come from, its joints, and where its tool is."""

    def __init__(self, robot: Robot) -> None:
        arms = [group for group in robot.groups if group.kind == "arm"]
        self.group = arms[0] if arms else robot.groups[0]
        self.topic = self.group.state_topics[0]
        self._chain = Chain(robot, self.group.name) if self.group.tool else None

    def read(self, names: Sequence[str], values: Sequence[float]) -> list[float]:
        """Pick the arm's values in its order, under the driver's names or its own."""
        found = dict(zip(names, values))
        axes = self.group.axes
        return [found.get(a.message_name, found.get(a.name, float("nan"))) for a in axes]

    def tools(self, positions: F64) -> F64:
        """Return tool positions [T, 3] m of joint positions [T, J]."""
        if self._chain is None:
            return np.zeros((len(positions), 3))  # an arm without a tool has no path of it
        return self._chain.forward(positions).position


class EpisodeMotion:
    """Keep joint states, serialized, and commands while the arm is driven; measure at its end."""

    def __init__(self, joint_state: Any, arm: FirstArm) -> None:
        self._type, self._arm = joint_state, arm
        self._states: list[bytes] = []
        self._commands: list[tuple[int, tuple[float, ...]]] = []

    def state(self, cdr: bytes) -> None:
        """Keep a joint state."""
        if len(self._states) < STATES_MAX:
            self._states.append(cdr)

    def command(self, message: Any) -> None:
        """Keep a command of the arbiter."""
        if len(self._commands) < STATES_MAX:
            joints = tuple(self._arm.read(message.name, message.position))
            self._commands.append((time_to_ns(message.header.stamp), joints))

    def finish(self) -> Smoothness:
        """Measure what was kept, on a grid of 10 ms by the states' stamps, and begin anew."""
        states, commands = sorted(self._states, key=stamp_of), self._commands
        self._states, self._commands = [], []
        if len(states) < 2 or len(commands) < 2:
            return Smoothness()
        messages = [deserialize_message(cdr, self._type) for cdr in states]
        times = np.array([time_to_ns(m.header.stamp) for m in messages]) / NS
        asked_at = np.array([at for at, _ in commands]) / NS
        grid = np.arange(times[0], times[-1], PERIOD_S)
        read = self._arm.read
        position = _resample(grid, times, [read(m.name, m.position) for m in messages])
        velocity = _resample(grid, times, [read(m.name, m.velocity) for m in messages])
        asked = _resample(grid, asked_at, [joints for _, joints in commands])
        if not np.isfinite(np.hstack([position, velocity, asked])).all():
            return Smoothness()  # a driver that tells no velocities, say
        return smoothness_of(velocity, self._arm.tools(position), asked - position, PERIOD_S)


def _resample(grid: Any, times: Any, rows: list[Any]) -> Any:
    values = np.array(rows, dtype=np.float64)
    return np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
