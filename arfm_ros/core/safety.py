"""Limits of the command: position with margin, velocity and acceleration with the real dt.

The limiter works per axis on the command itself: q' = q + v' dt. For every dt sequence the braking
distance from speed v at deceleration a is at most v^2 / (2 a), because the speeds after each step
are a right Riemann sum of a falling line. So a speed v' with v' dt + v'^2 / (2 a) <= d can always
be braked within distance d, and braking at `a` keeps that true for the next step, whatever its dt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.data import ActionChunk
from arfm_ros.core.errors import ConfigError, SafetyError

F64 = NDArray[np.float64]
LIMIT_KINDS = ("position", "velocity", "acceleration")
_ROUNDING = 1e-6  # chunks are float32


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

    def __post_init__(self) -> None:
        fields = ("low", "high", "velocity", "acceleration", "tracking", "chunk_tolerance")
        for field in fields:
            shape = getattr(self, field).shape
            if shape != (len(self.names),):
                raise ConfigError(f"limits: {field} has shape {shape}, needs ({len(self.names)},)")
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


def check_vector(values: F64, limits: Limits, what: str) -> F64:
    """Return `values` as float64 [A]; raise `SafetyError` on a wrong size or non-finite values."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (limits.size,):
        raise SafetyError(
            f"{what} has shape {array.shape}, needs ({limits.size},): {', '.join(limits.names)}"
        )
    finite = np.isfinite(array)
    if not finite.all():
        raise SafetyError(f"{what} is not finite: {limits.named(~finite)}")
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


def stoppable_speed(distance: F64, acceleration: F64, dt_s: float) -> F64:
    """Speed [A] of the next step from which braking ends within `distance` [A] (negative: 0)."""
    step = acceleration * dt_s
    return np.asarray(np.sqrt(step**2 + 2 * acceleration * np.maximum(distance, 0.0)) - step)


def _between(values: F64, low: F64, high: F64) -> F64:
    """Clip; `np.clip` takes several times as long for a handful of numbers."""
    clipped: F64 = np.minimum(np.maximum(values, low), high)
    return clipped


class Limiter:
    """The command in force and the only way to change it.

    Laws, for finite or non-finite targets and any dt: |dq| <= velocity * dt; the velocity changes
    by at most acceleration * dt; inside the limits it stays inside; from outside it only moves in.
    A `dt_s` above `dt_max_s` counts as `dt_max_s`; above `pause_s` the arm stood still meanwhile,
    so the velocity starts again at 0.
    """

    def __init__(
        self, limits: Limits, position: F64, dt_max_s: float = 0.02, pause_s: float = 0.1
    ) -> None:
        self.limits = limits
        self.position = check_vector(position, limits, "start position").copy()
        self.velocity: F64 = np.zeros(limits.size)
        self.counts = {kind: np.zeros(limits.size, dtype=np.int64) for kind in LIMIT_KINDS}
        self._dt_max_s = dt_max_s
        self._pause_s = pause_s

    def step(self, target: Target, dt_s: float) -> tuple[str, ...]:
        """Move towards `target` for `dt_s`; return the kinds of limits that held it back.

        Raises `SafetyError` and moves nothing when the target is not finite.
        """
        aim = check_vector(target.position, self.limits, "target")
        ahead = check_vector(target.velocity, self.limits, "target velocity")
        dt = self._begin(dt_s)
        if dt <= 0:
            return ()
        limits = self.limits
        inside = _between(aim, limits.low, limits.high)
        # error before this step, relative to a target that moves on its own
        error = inside - ahead * dt - self.position
        last_step = np.abs(error) <= limits.acceleration * dt**2
        closing = np.sign(error) * stoppable_speed(np.abs(error), limits.acceleration, dt)
        wish = ahead + np.where(last_step, error / dt, closing)
        limited = {"position": np.abs(inside - aim) > _ROUNDING}
        limited["velocity"] = np.abs(wish) > limits.velocity * (1 + _ROUNDING)
        low = limits.low if target.low is None else np.minimum(target.low, inside)
        high = limits.high if target.high is None else np.maximum(target.high, inside)
        limited["acceleration"] = self._advance(wish, dt, low, high)
        return self._count(limited)

    def follow(self, target: Target | None, dt_s: float) -> tuple[str, ...]:
        """Step towards `target`, or brake without one."""
        return self.brake(dt_s) if target is None else self.step(target, dt_s)

    def brake(self, dt_s: float) -> tuple[str, ...]:
        """Slow down to rest as fast as the acceleration limit allows, then stay."""
        dt = self._begin(dt_s)
        if dt > 0:
            self._advance(np.zeros(self.limits.size), dt, self.limits.low, self.limits.high)
        return ()

    def at_rest(self) -> bool:
        """Whether the command stands still."""
        return bool((np.abs(self.velocity) < 1e-6).all())

    def _begin(self, dt_s: float) -> float:
        if dt_s > self._pause_s:
            self.velocity = np.zeros(self.limits.size)
        return min(dt_s, self._dt_max_s)

    def _advance(self, wish: F64, dt: float, low: F64, high: F64) -> NDArray[np.bool_]:
        limits, q, v = self.limits, self.position, self.velocity
        a = limits.acceleration
        up = stoppable_speed(np.minimum(high, limits.high) - q, a, dt)
        down = stoppable_speed(q - np.maximum(low, limits.low), a, dt)
        allowed = _between(
            wish, -np.minimum(down, limits.velocity), np.minimum(up, limits.velocity)
        )
        new = _between(allowed, v - a * dt, v + a * dt)
        # rounding only: the braking law above already keeps inside
        moved = _between(q + new * dt, np.minimum(q, limits.low), np.maximum(q, limits.high))
        self.position, self.velocity = moved, (moved - q) / dt
        return np.asarray(np.abs(new - allowed) > a * dt * _ROUNDING)

    def _count(self, limited: dict[str, NDArray[np.bool_]]) -> tuple[str, ...]:
        for kind, mask in limited.items():
            self.counts[kind] += mask
        return tuple(kind for kind, mask in limited.items() if mask.any())
