"""What is sent, as plain values in the numbers of the message; each makes its own message.

A value that one controller alone sends stands in that controller's file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.commands.messages import (
    FLOAT64_ARRAY,
    JOINT_STATE,
    JOINT_TRAJECTORY,
    POSE_STAMPED,
    Interface,
    doubles,
    set_time,
)

F64 = NDArray[np.float64]
Target: TypeAlias = tuple[F64, F64]  # positions [N]; velocities [N], empty: none


class Value(Protocol):
    """What a controller is sent."""

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make the message, or the goal of an action, stamped `stamp_ns` of ROS time."""


class TargetValue(Value, Protocol):
    """A value that is a target at once, which the simulation can be handed."""

    def target(self) -> Target:
        """Return positions [N] and velocities [N] in the numbers of the message."""


@dataclass(frozen=True, slots=True, eq=False)
class JointTarget:
    """Positions and velocities [N] in the controller's joint order."""

    names: tuple[str, ...]
    position: F64
    velocity: F64
    frame: str = ""

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make a JointState."""
        message = interface(JOINT_STATE)(name=list(self.names))
        set_time(message.header.stamp, stamp_ns)
        message.header.frame_id = self.frame
        message.position = doubles(self.position)
        message.velocity = doubles(self.velocity)
        return message

    def target(self) -> Target:
        """Return positions and velocities."""
        return self.position, self.velocity


@dataclass(frozen=True, slots=True, eq=False)
class PoseTarget:
    """Position [3] m and quaternion xyzw [4] of the tool frame in `frame`."""

    position: F64
    quaternion_xyzw: F64
    frame: str

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make a PoseStamped."""
        message = interface(POSE_STAMPED)()
        set_time(message.header.stamp, stamp_ns)
        message.header.frame_id = self.frame
        at, turn = message.pose.position, message.pose.orientation
        at.x, at.y, at.z = self.position.tolist()
        turn.x, turn.y, turn.z, turn.w = self.quaternion_xyzw.tolist()
        return message


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Points at `times_ns` [K] after the stamp, which is now; no accelerations, no efforts."""

    names: tuple[str, ...]
    times_ns: tuple[int, ...]
    positions: F64  # [K, N]
    velocities: F64  # [K, N], the last exactly 0

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make a JointTrajectory."""
        message = interface(JOINT_TRAJECTORY)(joint_names=list(self.names))
        set_time(message.header.stamp, stamp_ns)
        make = interface("trajectory_msgs/msg/JointTrajectoryPoint")
        for time_ns, position, velocity in zip(self.times_ns, self.positions, self.velocities):
            point = make(positions=doubles(position), velocities=doubles(velocity))
            set_time(point.time_from_start, time_ns)
            message.points.append(point)
        return message


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Bare numbers [N]."""

    data: F64

    def message(self, stamp_ns: int, interface: Interface) -> Any:
        """Make a Float64MultiArray."""
        return interface(FLOAT64_ARRAY)(data=doubles(self.data))

    def target(self) -> Target:
        """Return the numbers as positions."""
        return self.data, np.zeros(0)
