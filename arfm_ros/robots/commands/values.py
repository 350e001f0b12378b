"""What is sent, as plain values in the numbers of the message; `messages` makes ROS of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class JointTarget:
    """Positions and velocities [N] in the controller's joint order."""

    names: tuple[str, ...]
    position: F64
    velocity: F64
    frame: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PoseTarget:
    """Position [3] m and quaternion xyzw [4] of the tool frame in `frame`."""

    position: F64
    quaternion_xyzw: F64
    frame: str


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Points at `times_ns` [K] after the stamp, which is now; no accelerations, no efforts."""

    names: tuple[str, ...]
    times_ns: tuple[int, ...]
    positions: F64  # [K, N]
    velocities: F64  # [K, N], the last exactly 0


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Bare numbers [N]."""

    data: F64


@dataclass(frozen=True, slots=True)
class GripperGoal:
    """A goal of control_msgs/action/GripperCommand; `max_effort` 0: the controller's own."""

    position: float
    max_effort: float


@dataclass(frozen=True, slots=True)
class ParallelGripperGoal:
    """A goal of control_msgs/action/ParallelGripperCommand; 0: the controller's own."""

    name: str
    position: float
    max_velocity: float
    max_effort: float


Value = JointTarget | PoseTarget | Trajectory | Values | GripperGoal | ParallelGripperGoal
