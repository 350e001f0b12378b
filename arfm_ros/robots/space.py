"""Work space, keep-out boxes and self-distance of any arm with a description."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.space import ANYWHERE, Space, boxes
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]


class ArmsSpace:
    """Where the tools of all arms may be, in the description's root, and how near their links."""

    def __init__(
        self, robot: Robot, room: Sequence[float], keep_out: Sequence[float], distance_m: float
    ) -> None:
        self._room, self._boxes = boxes("workspace", room), boxes("keep_out", keep_out)
        if len(self._room) > 1:
            raise ConfigError(f"workspace has {len(room)} numbers, needs 6, or none")
        self._distance_m = distance_m
        self._arms = ArmKinematics(robot)
        self.reach = 2.0 * self._arms.reach()  # of two links that come nearer both may move
        self._tools = tuple(g.tool for g in robot.groups if g.kind == "arm" and g.tool)

    def depth(self, positions: F64) -> F64:
        """Return how far [...] m the worst part is outside at positions [..., A]."""
        flat = positions.reshape(-1, positions.shape[-1])
        worst = [max((depth for depth, _ in self._depths(row)), default=0.0) for row in flat]
        return np.asarray(worst).reshape(positions.shape[:-1])

    def describe(self, position: F64) -> str:
        """Say what a position [A] violates most."""
        depth, name = max(self._depths(position))
        return f"{name} by {depth * 1000:.0f} mm"

    def _depths(self, position: F64) -> list[tuple[float, str]]:
        found = []
        for tool in self._tools:
            at = self._arms.forward(position, tool).position
            for low, high in self._room:
                beyond = float(np.maximum(low - at, at - high).max())
                found.append((beyond, f"{tool} leaves the workspace"))
            for number, (low, high) in enumerate(self._boxes):
                inside = float(np.minimum(at - low, high - at).min())
                found.append((inside, f"{tool} enters keep-out box {number + 1}"))
        if self._distance_m > -1.0:
            near = self._arms.self_distance(position)
            pair = f"{near.first} too near to {near.second}"
            found.append((self._distance_m - near.metres, pair))
        return found


def arms_space(
    robot: Robot, room: Sequence[float], keep_out: Sequence[float], distance_m: float
) -> Space:
    """Return where a robot may be; anywhere where nothing is asked for."""
    if not len(room) and not len(keep_out) and distance_m <= -1.0:
        return ANYWHERE
    return ArmsSpace(robot, room, keep_out, distance_m)
