"""How smoothly the arm moved in an episode, from what the robot published."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from arfm_ros.control import fr3, kinematics
from arfm_ros.core.smoothness import Smoothness, smoothness_of
from arfm_ros.nodes.cameras import stamp_of
from arfm_ros.nodes.convert import time_to_ns

PERIOD_S = 0.01
NS = 1_000_000_000
STATES_MAX = 20_000  # of an episode that does not end


class EpisodeMotion:
    """Keep joint states, serialized, and commands while the arm is driven; measure at its end."""

    def __init__(self, joint_state: Any) -> None:
        self._type = joint_state
        self._states: list[bytes] = []
        self._commands: list[tuple[int, tuple[float, ...]]] = []

    def state(self, cdr: bytes) -> None:
        """Keep a joint state."""
        if len(self._states) < STATES_MAX:
            self._states.append(cdr)

    def command(self, message: Any) -> None:
        """Keep a command of the arbiter."""
        if len(self._commands) < STATES_MAX:
            joints = tuple(message.position[: fr3.DOF])
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
        position = _resample(grid, times, [m.position[: fr3.DOF] for m in messages])
        velocity = _resample(grid, times, [m.velocity[: fr3.DOF] for m in messages])
        asked = _resample(grid, asked_at, [joints for _, joints in commands])
        tool = np.array([kinematics.tool_transform(q)[:3, 3] for q in position])
        return smoothness_of(velocity, tool, asked - position, PERIOD_S)


def _resample(grid: Any, times: Any, rows: list[Any]) -> Any:
    values = np.array(rows, dtype=np.float64)
    return np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
