"""Come to a target that moves, at a bounded speed; once there, follow it exactly."""

from __future__ import annotations

import numpy as np

from arfm_ros.teleop.device import F64, NS

STEP_MAX_NS = NS // 20
NEAR, FASTER_1_S = 0.1, 10.0  # rad: from here on the bound grows, until it follows


class Approach:
    """Positions [J] between where the arm is and what it shall follow."""

    def __init__(self, speed: float) -> None:
        self._speed = self._bound = speed
        self._position: F64 | None = None
        self._at_ns = 0
        self.arrived = False

    @property
    def begun(self) -> bool:
        """Whether somebody drives."""
        return self._position is not None

    def forget(self) -> None:
        """Begin anew next time."""
        self._position, self.arrived = None, False

    def towards(self, wanted: F64, begin: F64, now_ns: int) -> F64:
        """Return the position [J] for now on the way from `begin` to `wanted`."""
        if self._position is None:
            self._position, self._at_ns = begin.copy(), now_ns
            self.arrived, self._bound = False, self._speed
        dt_s = min(now_ns - self._at_ns, STEP_MAX_NS) / NS
        self._at_ns = now_ns
        way = wanted - self._position
        left = float(np.abs(way).max())
        self._bound *= 1.0 + FASTER_1_S * dt_s * (left < NEAR)
        step = self._bound * dt_s
        if self.arrived or left <= step:
            self.arrived, self._position = True, wanted.copy()
        else:
            self._position = self._position + np.clip(way, -step, step)
        return self._position.copy()
