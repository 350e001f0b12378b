"""What each kind of controller does with what it is sent, in front of a drive.

As in CRISP, ros2_controllers and their grippers; on purpose they differ in one thing: what holds a
NaN or has a wrong size is refused with a reason, where a real controller might act on it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SafetyError
from arfm_ros.robots.commands.controller import Numbers, message_names
from arfm_ros.robots.commands.values import TargetValue, Trajectory, Values
from arfm_ros.robots.robot import Group
from arfm_ros.sim.arms.drives import PERIOD_S, Drive, ServoDrive
from arfm_ros.sim.controllers.jtc import JtcConfig, JtcCore, JtcMessage
from arfm_ros.sim.controllers.jtc_segment import Point
from arfm_ros.sim.robot import finite

F64 = NDArray[np.float64]
UPDATE_NS = 1_000_000  # a controller manager at 1 kHz


class Receiver(Protocol):
    """A controller's inputs."""

    def take(self, value: Any, now_ns: int) -> str:
        """Take a message as plain values; return '' or why it is refused."""

    def step(self, now_ns: int) -> None:
        """Bring the drive's reference up to this physics step."""

    def forget(self) -> None:
        """Drop what older messages left: somebody else commands, or the world was reset."""

    def memory(self) -> Any:
        """Return what the next steps depend on."""

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""


class TargetReceiver:
    """Controllers that keep the last target: CRISP's, forward position, grippers."""

    def __init__(self, group: Group, drive: Drive) -> None:
        self._group, self._drive = group, drive
        self._numbers = Numbers(group)
        self._scale = np.array([axis.scale for axis in group.axes])
        self._offset = np.array([axis.offset for axis in group.axes])
        self._velocity: F64 = np.zeros(len(group.axes))

    def take(self, value: TargetValue, now_ns: int) -> str:
        """Go to the target; one without velocities keeps those before it, as CRISP does."""
        position, velocity = value.target()
        size = len(self._group.axes)
        try:
            goal = finite(f"target of {self._group.name}", position, size)
            if len(velocity):
                speed = finite(f"velocity of {self._group.name}", velocity, size)
                self._velocity = self._scale * speed
        except SafetyError as error:
            return str(error)
        self._drive.target(self._scale * goal + self._offset, self._velocity)
        return ""

    def step(self, now_ns: int) -> None:
        """Do nothing: the drive goes to its target by itself."""

    def forget(self) -> None:
        """Forget the velocity."""
        self._velocity = np.zeros(len(self._group.axes))

    def memory(self) -> Any:
        """Return the velocity that is kept."""
        return self._velocity.copy()

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self._velocity = memory.copy()


class VelocityReceiver:
    """A forward command controller on velocities: the last one is kept for ever."""

    def __init__(self, group: Group, drive: ServoDrive) -> None:
        self._group, self._drive = group, drive
        self._scale = np.array([axis.scale for axis in group.axes])
        self._low = np.array([axis.low for axis in group.axes])
        self._high = np.array([axis.high for axis in group.axes])
        self._velocity: F64 | None = None

    def take(self, value: Values, now_ns: int) -> str:
        """Drive on at these velocities."""
        try:
            speed = finite(f"velocity of {self._group.name}", value.data, len(self._group.axes))
        except SafetyError as error:
            return str(error)
        self._velocity = self._scale * speed
        return ""

    def step(self, now_ns: int) -> None:
        """Move the reference on; at a limit it stands."""
        if self._velocity is not None:
            ahead = self._drive.position + PERIOD_S * self._velocity
            within = np.clip(ahead, self._low, self._high)
            speed = np.where(within == ahead, self._velocity, 0.0)
            self._drive.follow(within, speed)

    def forget(self) -> None:
        """Leave the drive to somebody else."""
        self._velocity = None

    def memory(self) -> Any:
        """Return the velocity that is kept."""
        return deepcopy(self._velocity)

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self._velocity = deepcopy(memory)


class TrajectoryReceiver:
    """A joint_trajectory_controller, with `interpolate_from_desired_state` as it ought to be."""

    def __init__(self, group: Group, drive: ServoDrive) -> None:
        self._group, self._drive, self._numbers = group, drive, Numbers(group)
        self._scale = np.array([axis.scale for axis in group.axes])
        self._offset = np.array([axis.offset for axis in group.axes])
        endless = [a.message_name for a in group.axes if a.unit == "rad" and np.isinf(a.high)]
        self._config = JtcConfig(
            message_names(group),
            UPDATE_NS,
            interpolate_from_desired_state=True,
            continuous=tuple(endless),
        )
        self._core: JtcCore | None = None

    def take(self, value: Trajectory | JtcMessage, now_ns: int) -> str:
        """Take a trajectory; return '' or the controller's own reason for rejecting it."""
        message = value if isinstance(value, JtcMessage) else _stamped(value, now_ns)
        for point in message.points:
            for values in (point.positions, point.velocities, point.accelerations):
                if values is not None and not np.isfinite(values).all():
                    return f"a point at {point.time_ns / 1e9:g} s is not finite"
        if self._core is None:
            self._core = JtcCore(self._config, self._numbers.positions(self._drive.position))
        return self._core.accept(message, now_ns)

    def step(self, now_ns: int) -> None:
        """Sample the trajectory."""
        if self._core is not None and self._core.accepted:
            position, velocity = self._core.sample(now_ns)
            ours = self._scale * position + self._offset
            self._drive.follow(ours, self._scale * velocity)

    def forget(self) -> None:
        """Drop the trajectory."""
        self._core = None

    def memory(self) -> Any:
        """Return a copy of the controller."""
        return deepcopy(self._core)

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self._core = deepcopy(memory)


def receiver_of(group: Group, drive: Drive) -> Receiver:
    """Return the controller of a group in front of its drive."""
    if isinstance(drive, ServoDrive) and group.controller.kind == "jtc":
        return TrajectoryReceiver(group, drive)
    if isinstance(drive, ServoDrive) and group.controller.kind == "forward_velocity":
        return VelocityReceiver(group, drive)
    return TargetReceiver(group, drive)


def _stamped(value: Trajectory, now_ns: int) -> JtcMessage:
    points = [Point(*one) for one in zip(value.times_ns, value.positions, value.velocities)]
    return JtcMessage(value.names, now_ns, points)
