"""Actions that are positions or velocities of the joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.actions.options import need, rows
from arfm_ros.robots.robot import Group

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
ABSOLUTE, MEASURED, PREVIOUS = REFERENCES = ("absolute", "measured", "previous")


@dataclass(frozen=True, slots=True)
class PositionOptions:
    """Where a position is counted from; joint = reference + scale * action."""

    reference: str = ABSOLUTE  # measured: at the observation; previous: the action before
    scale: float = 1.0

    def __post_init__(self) -> None:
        need(self.reference, REFERENCES, "reference of joint_position")
        if not self.scale > 0.0:
            raise ConfigError(f"scale of joint_position is {self.scale}, needs more than 0")


@dataclass(frozen=True, slots=True)
class VelocityOptions:
    """How long a velocity acts; joint velocity = scale * action."""

    dt_s: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.dt_s > 0.0 or not self.scale > 0.0:
            raise ConfigError(
                f"joint_velocity has dt_s {self.dt_s} and scale {self.scale}, needs more than 0"
            )


class JointPosition:
    """Positions of the group's axes. Sums stop at the limits; others are left to the arbiter."""

    def __init__(self, group: Group, options: PositionOptions) -> None:
        self.group, self.options, self.names = group, options, group.names
        self._low, self._high = span(group)
        self._endless = np.isinf(self._low) & np.isinf(self._high)

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] from q [A]; joints without end take the nearest turn."""
        steps = self.options.scale * rows(actions, len(self.names), "joint_position actions")
        if self.options.reference == PREVIOUS:
            return summed(steps, q, self._low, self._high)
        path = steps + q if self.options.reference == MEASURED else steps
        if self.options.reference == ABSOLUTE and self._endless.any():
            turned = np.unwrap(np.vstack([q, path]), axis=0)[1:]
            path = np.where(self._endless, turned, path)
        return path

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, A] that make `path` from q [A]."""
        points = rows(path, len(self.names), "path")
        if self.options.reference == PREVIOUS:
            points = np.diff(np.vstack([q, points]), axis=0)
        elif self.options.reference == MEASURED:
            points = points - q
        return (points / self.options.scale).astype(np.float32)


class JointVelocity:
    """Velocities of the group's axes, held for dt each, within speed and position limits."""

    def __init__(self, group: Group, options: VelocityOptions) -> None:
        self.group, self.options = group, options
        self.names = tuple(f"{name}.velocity" for name in group.names)
        self._low, self._high = span(group)
        self._fastest = np.array([axis.velocity for axis in group.axes])

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] from q [A]."""
        wanted = self.options.scale * rows(actions, len(self.names), "joint_velocity actions")
        speeds = np.clip(wanted, -self._fastest, self._fastest)
        return summed(speeds * self.options.dt_s, q, self._low, self._high)

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the velocities [H, A] that make `path` from q [A]."""
        points = np.vstack([q, rows(path, len(self.names), "path")])
        dt = self.options.dt_s * self.options.scale
        return (np.diff(points, axis=0) / dt).astype(np.float32)


def span(group: Group) -> tuple[F64, F64]:
    """Return the lowest and highest positions [A] of a group, less their margins."""
    low = np.array([axis.low + axis.margin for axis in group.axes])
    high = np.array([axis.high - axis.margin for axis in group.axes])
    return low, high


def summed(steps: F64, start: F64, low: F64, high: F64) -> F64:
    """Add steps [H, A] up from `start` [A], each sum stopping at the limits.

    A start beyond a limit may stay there and come back, but not go further.
    """
    low, high = np.minimum(low, start), np.maximum(high, start)
    path, at = np.empty_like(steps), start
    for i, step in enumerate(steps):
        at = path[i] = np.clip(at + step, low, high)
    return path
