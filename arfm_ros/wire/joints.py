"""Joint values and poses out of serialized messages: what moves an arm, and what it measures."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.wire.cdr import ENCAPSULATION, NS, Cdr, Cursor
from arfm_ros.wire.errors import WireError

F64 = NDArray[np.float64]
JOINT_STATE = "sensor_msgs/msg/JointState"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
FLOAT64_ARRAY = "std_msgs/msg/Float64MultiArray"
FLOAT64 = "std_msgs/msg/Float64"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
NAMELESS = (FLOAT64_ARRAY, FLOAT64)  # values whose order nobody tells
LAYOUTS_MAX = 4  # senders of one topic that are told apart
JOINT_TYPES = (JOINT_STATE, JOINT_TRAJECTORY, *NAMELESS)


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Positions [P, J] of named joints, due so long [P] after the message's stamp."""

    names: tuple[str, ...]
    due_ns: NDArray[np.int64]
    positions: F64


@dataclass(frozen=True, slots=True, eq=False)
class JointPositions:
    """Positions [J] of named joints, or none of them; `stamp_ns` is 0 where nobody stamped it."""

    names: tuple[str, ...]
    values: F64
    stamp_ns: int


class JointStateReader:
    """Read JointStates of the same senders again and again: their names are read once.

    Raises `WireError` as `read_joint_state` does.
    """

    def __init__(self) -> None:
        self._known: list[_Layout] = []

    def read(self, cdr: bytes) -> JointPositions:
        """Return names, positions and stamp."""
        for layout in self._known:
            if layout.fits(cdr):
                return layout.read(cdr)
        layout = _layout(cdr)
        self._known = [layout, *self._known][:LAYOUTS_MAX]
        return layout.read(cdr)


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """What does not change from message to message: all bytes that tell of names and counts.

    Not those between two fields: rclpy leaves them as memory had them.
    """

    names: tuple[str, ...]
    fixed: tuple[tuple[int, bytes], ...]  # where, and what stands there
    stamp: struct.Struct
    at: int  # where the positions begin
    kind: np.dtype[np.float64]
    count: int

    def fits(self, cdr: bytes) -> bool:
        """Whether a message has these names, and as many positions."""
        whole = len(cdr) >= self.at + 8 * self.count
        return whole and all(cdr.startswith(part, at) for at, part in self.fixed)

    def read(self, cdr: bytes) -> JointPositions:
        """Return what a message that fits says."""
        sec, nanosec = self.stamp.unpack_from(cdr, ENCAPSULATION)
        values = np.frombuffer(cdr, self.kind, self.count, self.at).astype(np.float64)
        return JointPositions(self.names, values, sec * NS + nanosec)


def _layout(cdr: bytes) -> _Layout:
    cursor, fixed = Cursor(cdr), [(0, cdr[:2])]

    def told(begin: int) -> None:
        at = ENCAPSULATION + begin + -begin % 4
        fixed.append((at, cdr[at : ENCAPSULATION + cursor.at]))

    cursor.stamp_ns()
    begin = cursor.at
    cursor.octets()  # frame_id
    told(begin)
    begin = cursor.at
    count = cursor.u32()
    told(begin)
    for _ in range(count):
        begin = cursor.at
        cursor.text()
        told(begin)
    begin = cursor.at
    cursor.u32()
    told(begin)
    names, at, positions = joint_state_layout(cdr)
    order = "<" if cdr[1] == 1 else ">"
    kind = np.dtype(f"{order}f8")
    return _Layout(names, tuple(fixed), struct.Struct(f"{order}iI"), at, kind, len(positions))


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
