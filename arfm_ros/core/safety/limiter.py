"""The command in force and the only way to change it.

Between two ticks an axis moves with constant acceleration: q' = q + (v + v') dt / 2. A speed v'
with (v + v') dt / 2 + v'^2 / (2 a) + v' h / 2 <= d can be braked within distance d: braking at `a`
keeps that true at the next tick, whatever its dt up to h, and so does stopping within one tick.
What is sent is the mean of this path over a short window, which keeps its bounds and limits the
jerk (see `smoothing`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.braking import RESERVE, SIGNS, Braking
from arfm_ros.core.safety.limits import F64, Limits, Target, check_vector, some
from arfm_ros.core.safety.smoothing import MovingMean

LIMIT_KINDS = ("position", "velocity", "acceleration")
_ROUNDING = 1e-6  # chunks are float32
# A remaining distance e is closed at GAIN e / dt: two equal poles at 0.41, no overshoot.
GAIN = 0.343
SMALLEST_RAD_S = AT_REST_RAD_S = 1e-6
ALL = slice(None)
Move = tuple[slice, Target | None]  # which axes, and where to: None brakes


RunOn = Callable[[F64, float], F64]  # velocity [A], s -> way [A] that the controller made of it


@dataclass(frozen=True, slots=True)
class Steps:
    """How the limiter sees time; seconds."""

    longest: float = 0.02  # a later tick counts as one of this length
    pause: float = 0.1  # after a longer one the axes slowed down meanwhile
    smooth: float = 0.1  # window of the mean that is sent
    run_on: RunOn | None = None  # how the axes go on in a pause; None: they stop where they are

    def __post_init__(self) -> None:
        if not 0.0 < self.smooth or not 0.0 < self.longest:
            raise ConfigError(f"limiter: {self} needs positive times")


STEPS = Steps()


class Limiter:
    """Move a command [A] within its limits.

    Laws, for finite or non-finite targets and any dt, of what is sent: |dq| <= velocity * dt, and
    less near the ends of an axis; the velocity changes by at most acceleration * dt; the
    acceleration by at most 2 acceleration / smooth * dt; inside the limits it stays inside; from
    outside it only moves in.
    """

    def __init__(self, limits: Limits, position: F64, steps: Steps = STEPS) -> None:
        self._steps = steps
        self.adopt(limits)
        self.position = check_vector(position, limits, "start position").copy()
        self.velocity: F64 = np.zeros(limits.size)
        self.counts = {kind: np.zeros(limits.size, dtype=np.int64) for kind in LIMIT_KINDS}
        self._none: NDArray[np.bool_] = np.zeros(limits.size, np.bool_)
        self._mean = MovingMean(self.position, steps.smooth)
        self._sent = self._mean.mean()
        self._brakes = self._none  # axes that brake

    @property
    def sent(self) -> tuple[F64, F64]:
        """Position [A] and velocity [A] to send."""
        return self._sent

    def step(
        self, target: Target, dt_s: float, brakes: NDArray[np.bool_] | None = None
    ) -> tuple[str, ...]:
        """Move towards `target` for `dt_s`; return the kinds of limits that held it back.

        Axes that `brakes` [A] come to rest, whatever their target. Raises `SafetyError` and moves
        nothing when the target is not finite.
        """
        aim = check_vector(target.position, self.limits, "target")
        ahead = check_vector(target.velocity, self.limits, "target velocity")
        self._note_braking(self._none if brakes is None else brakes)
        dt = self._begin(dt_s)
        if dt <= 0:
            return ()
        limits = self.limits
        inside = _between(aim, limits.low, limits.high)
        # where the target was at the last tick, seen from there
        error = inside - ahead * dt - self.position
        distance = np.abs(error)
        closing = np.minimum(distance * (GAIN / dt), np.sqrt(self._twice_planned * distance))
        wish = _settled(ahead + np.copysign(closing, error))
        ends = self._hull(target, inside, ahead)
        if brakes is not None:
            wish = np.where(brakes, 0.0, wish)
            ends = np.where(brakes, self._ends, ends)
        limited = {"position": np.abs(inside - aim) > _ROUNDING}
        limited["velocity"] = np.abs(wish) > self._too_fast
        limited["acceleration"] = self._advance(wish, dt, ends)
        return self._count(limited)

    def follow(self, moves: Sequence[Move], dt_s: float) -> tuple[str, ...]:
        """Step towards targets, each of a part of the axes; parts without one brake."""
        present = [target for _, target in moves if target is not None]
        if not present:
            return self.brake(dt_s)
        if len(moves) == 1:
            return self.step(present[0], dt_s)
        target, brakes = self._joined(moves)
        return self.step(target, dt_s, brakes)

    def brake(self, dt_s: float) -> tuple[str, ...]:
        """Slow down to rest as fast as the acceleration limit allows, then stay."""
        self._note_braking(~self._none)
        dt = self._begin(dt_s)
        if dt > 0:
            self._advance(np.zeros(self.limits.size), dt, self._ends)
        return ()

    def ahead(
        self,
        moves: Callable[[int], Sequence[Move]],
        times: tuple[int, int],
        count: int,
        step_max_ns: int,
    ) -> tuple[F64, F64]:
        """Go on for `count` steps; return positions and velocities [count, A] after each.

        `times`: now and the length of a step, ns; `moves` says what is asked for at a time.
        """
        positions, velocities = np.zeros((2, count, self.limits.size))
        now_ns, step_ns = times
        parts = -(-step_ns // step_max_ns)
        for k in range(count * parts):
            self.follow(moves(now_ns + (k + 1) * step_ns // parts), step_ns / parts / 1e9)
            positions[k // parts], velocities[k // parts] = self.sent
        return positions, velocities

    def restart(self, position: F64) -> None:
        """Go on at rest from `position` [A], where the arm was measured after all."""
        self.position = check_vector(position, self.limits, "measured position").copy()
        self.velocity = np.zeros(self.limits.size)
        self._mean.restart(self.position, self.velocity)
        self._sent = self._mean.mean()

    def adopt(self, limits: Limits) -> None:
        """Go on within other limits of the same axes; what is too fast now brakes."""
        self.limits, self._braking = limits, Braking(limits, self._steps.longest)
        self._ends = np.stack([-limits.low, limits.high])  # [2, A], see `SIGNS`
        self._too_fast = limits.velocity * (1 + _ROUNDING)
        self._twice_planned = 2.0 * RESERVE * limits.acceleration
        self._anywhere = np.full((2, limits.size), np.inf)

    def at_rest(self, part: slice = ALL) -> bool:
        """Whether the command of these axes stands still, and so does what is sent."""
        return _stands(self.velocity[part]) and _stands(self._sent[1][part])

    def copy(self) -> Limiter:
        """Return a limiter that goes on from here by itself."""
        other = copy.copy(self)
        other.counts = {kind: n.copy() for kind, n in self.counts.items()}
        other._mean = self._mean.copy()
        return other

    def _begin(self, dt_s: float) -> float:
        if dt_s > self._steps.pause:
            self._slow_down(dt_s)
        return min(dt_s, self._steps.longest)

    def _note_braking(self, brakes: NDArray[np.bool_]) -> None:
        if brakes is self._brakes:
            return
        begins = brakes & ~self._brakes
        self._brakes = brakes
        if some(begins):
            self._forget_speeding_up(begins)

    def _forget_speeding_up(self, axes: NDArray[np.bool_]) -> None:
        """Go on from what was sent: a mean of what sped up would speed up for half a window."""
        position, velocity = self._sent
        faster = axes & (np.abs(self.velocity) > np.abs(velocity))
        ahead = self._mean.ahead(position, velocity)
        # what could not brake before an end goes on as it was: that path and its mean keep inside
        down, up = self._braking.speeds(SIGNS * ahead, SIGNS * velocity, self._ends, 0.0)
        faster &= (velocity >= -down) & (velocity <= up)
        self._mean.flatten(faster, position, velocity)
        self.position = np.where(faster, ahead, self.position)
        self.velocity = np.where(faster, velocity, self.velocity)

    def _slow_down(self, pause_s: float) -> None:
        """Nothing was sent for `pause_s`: go on from where it led, as slow as braking allows.

        A command that went on from the last one would pull an arm back that has run on since.
        """
        position, velocity = self._sent
        if self._steps.run_on is not None:
            there = position + self._steps.run_on(velocity, pause_s - self._steps.longest)
            position = _between(
                there,
                np.minimum(position, self.limits.low),
                np.maximum(position, self.limits.high),
            )
        change = self.limits.acceleration * (pause_s - self._steps.longest)
        slower = np.sign(velocity) * np.maximum(np.abs(velocity) - change, 0.0)
        down, up = self._braking.speeds_behind(SIGNS * position, self._mean.lead_s)
        self.velocity = _between(slower, -down, up)
        self._mean.restart(position, self.velocity)
        ahead = self._mean.end
        self.position = _between(
            ahead, np.minimum(position, self.limits.low), np.maximum(position, self.limits.high)
        )

    def _joined(self, moves: Sequence[Move]) -> tuple[Target, NDArray[np.bool_] | None]:
        """Make one target of those of the parts, and say which axes have none (None: no axis)."""
        position, velocity = self.position.copy(), np.zeros(self.limits.size)
        low, high = -self._anywhere[0], self._anywhere[1].copy()
        brakes = None
        for part, target in moves:
            if target is None:
                brakes = self._none.copy() if brakes is None else brakes
                brakes[part] = True
                continue
            position[part], velocity[part] = target.position, target.velocity
            if target.low is not None and target.high is not None:
                low[part], high[part] = target.low, target.high
        return Target(position, velocity, low, high), brakes

    def _hull(self, target: Target, inside: F64, ahead: F64) -> F64:
        """Ends [2, A] that the path ahead does not leave: a target that stands is not run past."""
        aim, ends = SIGNS * inside, self._ends
        stands = ahead == 0.0
        if some(stands):
            ends = np.where(stands, np.maximum(aim, SIGNS * self.position), ends)
        if target.low is None and target.high is None:
            return ends
        hull = self._anywhere.copy()
        if target.low is not None:
            np.negative(target.low, out=hull[0])
        if target.high is not None:
            hull[1] = target.high
        return np.asarray(np.minimum(ends, np.maximum(hull, aim)))

    def _advance(self, wish: F64, dt: float, ends: F64) -> NDArray[np.bool_]:
        limits, q, v = self.limits, self.position, self.velocity
        down, up = self._braking.speeds(SIGNS * q, SIGNS * v, ends, dt)
        allowed = _between(wish, -down, up)
        change = limits.acceleration * dt
        slowest, fastest = v - change, v + change
        new = _between(allowed, slowest, fastest)
        if limits.together is not None:
            share = max((limits.together @ (new * new)).tolist())
            if share > 1.0:
                new = _between(new / math.sqrt(share), slowest, fastest)
        # rounding only: the braking law above already keeps inside
        moved = _between(
            q + 0.5 * (v + new) * dt, np.minimum(q, limits.low), np.maximum(q, limits.high)
        )
        self.position, self.velocity = moved, new
        self._mean.push(dt, moved, new)
        mean, rate = self._mean.mean()
        # a controller keeps the last velocity for ever: at rest it is exactly 0
        self._sent = mean, _settled(rate)
        return np.asarray(np.abs(new - allowed) > change * _ROUNDING)

    def _count(self, limited: dict[str, NDArray[np.bool_]]) -> tuple[str, ...]:
        held = tuple(kind for kind, mask in limited.items() if some(mask))
        for kind in held:
            self.counts[kind] += limited[kind]
        return held


def _settled(velocity: F64) -> F64:
    """Make exactly 0 of what is as good as 0."""
    small = np.abs(velocity) < SMALLEST_RAD_S
    return np.where(small, 0.0, velocity) if some(small) else velocity


def _stands(velocity: F64) -> bool:
    return not any(abs(speed) > AT_REST_RAD_S for speed in velocity.tolist())


def _between(values: F64, low: F64, high: F64) -> F64:
    """Clip; `np.clip` takes several times as long for a handful of numbers."""
    clipped: F64 = np.minimum(np.maximum(values, low), high)
    return clipped
