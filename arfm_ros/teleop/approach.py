"""Come to a target that moves, at a bounded speed; once there, follow it exactly."""

from __future__ import annotations

import numpy as np

from arfm_ros.teleop.device import F64, NS

STEP_MAX_NS = NS // 20


class Approach:
    """Positions [J] between where the arm is and what it shall follow."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
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
            self._position, self._at_ns, self.arrived = begin.copy(), now_ns, False
        step = self._speed * min(now_ns - self._at_ns, STEP_MAX_NS) / NS
        self._at_ns = now_ns
        way = wanted - self._position
        if self.arrived or float(np.abs(way).max()) <= step:
            self.arrived, self._position = True, wanted.copy()
        else:
            self._position = self._position + np.clip(way, -step, step)
        return self._position.copy()
