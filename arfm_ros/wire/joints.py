"""Joint values and poses out of serialized messages: what moves an arm, and what it measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.wire.cdr import Cdr, Cursor
from arfm_ros.wire.errors import WireError

F64 = NDArray[np.float64]
JOINT_STATE = "sensor_msgs/msg/JointState"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
FLOAT64_ARRAY = "std_msgs/msg/Float64MultiArray"
FLOAT64 = "std_msgs/msg/Float64"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
NAMELESS = (FLOAT64_ARRAY, FLOAT64)  # values whose order nobody tells
JOINT_TYPES = (JOINT_STATE, JOINT_TRAJECTORY, *NAMELESS)


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Positions [P, J] of named joints, due so long [P] after the message's stamp."""

    names: tuple[str, ...]
    due_ns: NDArray[np.int64]
    positions: F64


def check_counts(names: Sequence[str], positions: Sequence[float] | F64) -> None:
    """Raise `WireError` where a joint state names another number of joints than it places.

    One that only tells velocities or efforts has no positions at all, which is allowed.
    """
    if len(positions) not in (0, len(names)):
        raise WireError(
            f"joint state names {len(names)} joints but has {len(positions)} positions"
        )


def joint_state_layout(cdr: Cdr) -> tuple[tuple[str, ...], int, F64]:
    """Read a JointState: names, where the message's positions begin, and these (maybe none)."""
    cursor = Cursor(cdr)
    cursor.header()
    names = tuple(cursor.text() for _ in range(cursor.u32()))
    positions = cursor.doubles()
    check_counts(names, positions)
    return names, len(cdr) - cursor.left - 8 * len(positions), positions


def read_joint_state(cdr: Cdr) -> dict[str, float]:
    """Read a JointState as positions by name; those it has no positions of are left out."""
    names, _, positions = joint_state_layout(cdr)
    return dict(zip(names, positions.tolist()))


def read_trajectory(cdr: Cdr) -> Trajectory:
    """Read a JointTrajectory; raises `WireError` for a point that is not of all its joints."""
    cursor = Cursor(cdr)
    cursor.header()
    names = tuple(cursor.text() for _ in range(cursor.u32()))
    due, rows = [], []
    for _ in range(cursor.u32()):
        rows.append(cursor.doubles())
        for _ in ("velocities", "accelerations", "effort"):
            cursor.doubles()
        due.append(cursor.stamp_ns())
        if len(rows[-1]) != len(names):
            raise WireError(f"trajectory point has {len(rows[-1])} positions, needs {len(names)}")
    return Trajectory(names, np.array(due, np.int64), np.array(rows).reshape(-1, len(names)))


def read_values(cdr: Cdr, type_name: str) -> F64:
    """Read the values of a Float64MultiArray or a Float64."""
    cursor = Cursor(cdr)
    if type_name == FLOAT64:
        return cursor.doubles(1)
    for _ in range(cursor.u32()):  # the layout's dimensions
        cursor.text()
        cursor.u32(), cursor.u32()
    skip = cursor.u32()
    return cursor.doubles()[skip:]


def read_pose(cdr: Cdr) -> F64:
    """Read a PoseStamped: position in m and quaternion xyzw [7]."""
    cursor = Cursor(cdr)
    cursor.header()
    return cursor.doubles(7)
