"""The limits of a robot's command, as the arbiter wants them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.limits import Limits, Slowdown
from arfm_ros.robots.robot import Group, Robot, RobotAxis

F64 = NDArray[np.float64]
# In which an axis brakes from its highest speed: with the mean that is sent and what the arm needs
# to follow it is at rest within half a second.
STOP_S = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Clamps:
    """What a controller can follow, per axis [A]; inf: no such limit."""

    velocity: F64
    acceleration: F64
    together: F64 | None = None  # [A, A] of axes that move at once, see `Limits`


class Gains(Protocol):
    """What is known of a controller: what its torque can brake and accelerate."""

    def speed_max(self) -> F64:
        """Return the speeds [N]."""

    def acceleration_max(self) -> F64:
        """Return the accelerations [N]."""

    def together(self) -> F64:
        """Return W [N, N] of speeds at once: W v^2 <= 1."""


def clamps_of(size: int, parts: Iterable[tuple[slice, Gains]]) -> Clamps:
    """Return what controllers of parts of a command [size] can follow; the rest is free."""
    together = np.zeros((size, size))
    clamps = Clamps(np.full(size, np.inf), np.full(size, np.inf), together)
    for own, gains in parts:
        clamps.velocity[own] = gains.speed_max()
        clamps.acceleration[own] = gains.acceleration_max()
        together[own, own] = gains.together()
    return clamps


def limits(
    source: Robot | Group,
    margin_rad: float | None = None,
    velocity_scale: float = 0.9,
    acceleration_scale: float = 0.6,
    tracking_rad: float | None = None,
    clamps: Clamps | None = None,
) -> Limits:
    """Return the limits [A] of a robot or of one of its groups.

    `margin_rad` and `tracking_rad` stand in for those of the axes in rad, None: the robot's own.
    The scales are for rad and m; a gripper's opening (unit 1) is not scaled. No axis is faster
    than it brakes in `STOP_S`.
    """
    _check_scales(velocity_scale, acceleration_scale)
    axes = source.axes
    turns = np.array([axis.unit == "rad" for axis in axes])
    moves = np.array([axis.unit != "1" for axis in axes])
    margin, tracking = _column(axes, "margin"), _column(axes, "tracking")
    if margin_rad is not None:
        margin = np.where(turns, margin_rad, margin)
    if tracking_rad is not None:
        tracking = np.where(turns, tracking_rad, tracking)
    clamps = clamps or Clamps(np.array(np.inf), np.array(np.inf))
    speeds = _column(axes, "velocity") * np.where(moves, velocity_scale, 1.0)
    accelerations = _column(axes, "acceleration") * np.where(moves, acceleration_scale, 1.0)
    speeds = np.minimum(speeds, clamps.velocity)
    accelerations = np.minimum(accelerations, clamps.acceleration)
    stoppable = np.where(moves, STOP_S * accelerations, np.inf)
    return Limits(
        names=source.names,
        low=_column(axes, "low") + margin,
        high=_column(axes, "high") - margin,
        velocity=np.minimum(speeds, stoppable),
        acceleration=accelerations,
        tracking=tracking,
        chunk_tolerance=_column(axes, "chunk_tolerance"),
        slowdown=_slowdown(axes, velocity_scale),
        together=clamps.together,
    )


def _check_scales(velocity: float, acceleration: float) -> None:
    for name, scale in (("velocity", velocity), ("acceleration", acceleration)):
        if not 0.0 < scale <= 1.0:
            raise ConfigError(f"{name}_scale is {scale}, needs to be in (0, 1]")


def _column(axes: tuple[RobotAxis, ...], name: str) -> F64:
    return np.array([getattr(axis, name) for axis in axes], dtype=np.float64)


def _slowdown(axes: tuple[RobotAxis, ...], scale: float) -> Slowdown | None:
    """Return the law of slowing down towards the ends, None where no axis has one."""
    if all(axis.slowdown is None for axis in axes):
        return None
    rows = [axis.slowdown or (axis.low, axis.high, 0.0, np.inf) for axis in axes]
    low, high, offset, deceleration = np.array(rows, dtype=np.float64).T
    return Slowdown(low, high, offset, deceleration).scaled(scale)
