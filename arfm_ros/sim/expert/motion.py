"""Move the tool towards a goal with limited speed and acceleration, as joint commands."""

from __future__ import annotations

from math import copysign, sqrt

import numpy as np
from numpy.typing import NDArray

from arfm_ros.sim.arms.solver import Solver

F64 = NDArray[np.float64]
ACCELERATION_M_S2 = 1.2
TURN_RAD_S = 1.5
TURN_ACCELERATION_RAD_S2 = 6.0


class ToolMotion:
    """Keeps the reference of the tool, which points down, and solves the inverse kinematics."""

    def __init__(self, position_rad: F64, solver: Solver) -> None:
        self._q, self._solver = np.asarray(position_rad, dtype=float).copy(), solver
        tool = solver.tool(self._q)
        self.position_m = tool[:3, 3].copy()
        self.yaw_rad = solver.yaw(tool[:3, :3])
        self._velocity = np.zeros(3)
        self._turn = 0.0

    def advance(self, goal_m: F64, yaw_rad: float, speed_m_s: float, dt_s: float) -> F64:
        """Advance the reference by `dt_s` towards the goal and return joint positions [N]."""
        way = np.asarray(goal_m) - self.position_m
        distance = float(np.linalg.norm(way))
        speed = min(speed_m_s, sqrt(2 * 0.6 * ACCELERATION_M_S2 * distance), distance / dt_s)
        wanted = way / max(distance, 1e-9) * speed
        change = wanted - self._velocity
        limit = ACCELERATION_M_S2 * dt_s
        size = float(np.linalg.norm(change))
        self._velocity += change * min(1.0, limit / max(size, 1e-12))
        self.position_m = self.position_m + self._velocity * dt_s
        self._advance_yaw(yaw_rad, dt_s)
        rotation = self._solver.down(self.yaw_rad)
        self._q = self._solver.follow(self.position_m, rotation, self._q)
        return self._q.copy()

    def _advance_yaw(self, yaw_rad: float, dt_s: float) -> None:
        left = yaw_rad - self.yaw_rad
        rate = min(TURN_RAD_S, sqrt(TURN_ACCELERATION_RAD_S2 * abs(left)), abs(left) / dt_s)
        change = copysign(rate, left) - self._turn
        limit = TURN_ACCELERATION_RAD_S2 * dt_s
        self._turn += float(np.clip(change, -limit, limit))
        self.yaw_rad += self._turn * dt_s
