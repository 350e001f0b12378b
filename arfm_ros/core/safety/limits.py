"""Limits of the command, and the checks of what wants to become one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.core.values.data import ActionChunk

F64 = NDArray[np.float64]
_STEEP = 1e6  # stands for inf, whose product with 0 is no number


@dataclass(frozen=True, slots=True, eq=False)
class Slowdown:
    """Permitted speed that falls towards the ends of an axis, per axis [A].

    At distance x from the end it is sqrt(2 deceleration x) - offset, as libfranka's
    `joint_velocity_limits` has it; `deceleration` inf: no such limit.
    """

    low: F64
    high: F64
    offset: F64
    deceleration: F64

    def scaled(self, factor: float) -> Slowdown:
        """Return the law whose speeds are `factor` times these."""
        return replace(
            self, offset=factor * self.offset, deceleration=factor**2 * self.deceleration
        )

    def speeds(self, position: F64) -> tuple[F64, F64]:
        """Return the lowest and the highest permitted velocity [A] at `position` [A]."""
        twice = 2.0 * np.minimum(self.deceleration, _STEEP)
        down = np.sqrt(twice * np.maximum(position - self.low, 0.0)) - self.offset
        up = np.sqrt(twice * np.maximum(self.high - position, 0.0)) - self.offset
        return -np.maximum(down, 0.0), np.maximum(up, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """What the command may do, per axis [A]; `tracking` is the largest command - measured."""

    names: tuple[str, ...]
    low: F64
    high: F64
    velocity: F64
    acceleration: F64
    tracking: F64  # inf: not checked (a gripper that holds an object stays behind its command)
    chunk_tolerance: F64  # actions this far beyond a limit are clipped, further ones refused
    slowdown: Slowdown | None = None
    together: F64 | None = None  # W [A, A]: speeds v at once have W v^2 <= 1 in every row

    def __post_init__(self) -> None:
        fields = ("low", "high", "velocity", "acceleration", "tracking", "chunk_tolerance")
        for field in fields:
            shape = getattr(self, field).shape
            if shape != (len(self.names),):
                raise ConfigError(f"limits: {field} has shape {shape}, needs ({len(self.names)},)")
        size = len(self.names)
        if self.together is not None and self.together.shape != (size, size):
            raise ConfigError(f"limits: together has shape {self.together.shape}, needs {size}^2")
        if not (self.low < self.high).all():
            raise ConfigError("limits: low is not below high, make the margin smaller")
        if not (self.velocity > 0).all() or not (self.acceleration > 0).all():
            raise ConfigError("limits: velocity and acceleration need to be positive")

    @property
    def size(self) -> int:
        """Number of axes."""
        return len(self.names)

    def named(self, mask: NDArray[np.bool_]) -> str:
        """Names of the axes where `mask` is true."""
        return ", ".join(n for n, bad in zip(self.names, mask) if bad)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Where the command should be now and how fast it moves there; the path ahead is in low..high.

    `ended`: nothing lies ahead any more, the target stands still.
    """

    position: F64  # [A]
    velocity: F64  # [A]
    low: F64 | None = None  # [A], hull of the path ahead
    high: F64 | None = None
    ended: bool = False


def some(mask: NDArray[np.bool_]) -> bool:
    """Whether any axis is true; `mask.any()` takes ten times as long for a handful."""
    return True in mask.tolist()


def check_vector(values: F64, limits: Limits, what: str) -> F64:
    """Return `values` as float64 [A]; raise `SafetyError` on a wrong size or non-finite values."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (limits.size,):
        raise SafetyError(
            f"{what} has shape {array.shape}, needs ({limits.size},): {', '.join(limits.names)}"
        )
    broken = ~np.isfinite(array)
    if some(broken):
        raise SafetyError(f"{what} is not finite: {limits.named(broken)}")
    return array


def check_chunk(chunk: ActionChunk, limits: Limits) -> F64:
    """Return the actions [H, A] clipped to the limits.

    Raises `SafetyError` when names differ, when a value is not finite, or when an action lies
    beyond a limit by more than the tolerance.
    """
    if chunk.names != limits.names:
        raise SafetyError(
            f"chunk has axes {', '.join(chunk.names)}, the robot takes {', '.join(limits.names)}"
        )
    actions = np.asarray(chunk.actions, dtype=np.float64)
    if actions.shape[0] == 0:
        raise SafetyError("chunk has no actions, needs at least one")
    finite = np.asarray(np.isfinite(actions).all(axis=0))
    if not finite.all():
        raise SafetyError(f"chunk is not finite: {limits.named(~finite)}")
    clipped: F64 = np.clip(actions, limits.low, limits.high)
    beyond = np.abs(actions - clipped).max(axis=0)
    if (beyond > limits.chunk_tolerance).any():
        worst = int(np.argmax(beyond - limits.chunk_tolerance))
        raise SafetyError(
            f"chunk goes {beyond[worst]:.3f} beyond the limit of {limits.names[worst]} "
            f"({limits.low[worst]:.3f}..{limits.high[worst]:.3f})"
        )
    return clipped
