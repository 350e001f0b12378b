"""How near to the published limits of the FR3 command and arm came: 1 is the limit itself.

The command is judged by what the arbiter says that it sent (`arbiter/command`: position and
velocity of the same instant) and by what was really on the controller's topic; the arm by the
robot's own joint states. Velocities count against the position-dependent limits of libfranka.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.safety.limits import Limits
from arfm_ros.faults.judging.record import F64, Motion
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.frames import chain
from arfm_ros.robots.fr3.limits import fr3_limits

PUBLISHED = fr3_limits(margin_rad=0.0, velocity_scale=1.0, acceleration_scale=1.0)
READING_S = 0.0005  # between the two clocks that a tick reads
SHORTEST_S = 0.002
LATE_S = 0.01  # a sender on a busy machine
WINDOW_S = 0.06  # over which the arm's acceleration is a mean: six commands
OVERDUE_S = 0.01  # a simulated robot that is later than that got its commands in a burst
COMMANDS_S = 0.01  # between two commands
TOUCH_M = 0.06  # below, the fingers may touch the table or the cube
PRONE_S = 0.06  # for which lateness and touch go on to have an effect
CONTEST_S = 0.5  # around commands of somebody else: the controller hears of him before he speaks
ROUNDING = 1e-3
RESTART_RAD, STILL_RAD_S = 0.02, 1e-6


@dataclass(frozen=True, slots=True)
class Peaks:
    """Largest values relative to the limits; `finite` is about every number of the stream."""

    velocity: float = 0.0
    acceleration: float = 0.0
    step: float = 0.0  # of the position between two messages
    outside_rad: float = 0.0  # beyond the ends of an axis
    finite: bool = True


def arm_only(limits: Limits) -> tuple[F64, F64, F64, F64]:
    """Return low, high, velocity and acceleration [7] of the arm."""
    n, fastest = fr3.DOF, np.array(fr3.VELOCITY_MAX_RAD_S)
    return limits.low[:n], limits.high[:n], fastest, limits.acceleration[:n]


LOW, HIGH, VELOCITY, ACCELERATION = arm_only(PUBLISHED)


def permitted(position: F64, velocity: F64) -> F64:
    """Return the velocity limits [N, 7] in the direction of `velocity` [N, 7] at `position`."""
    slow = PUBLISHED.slowdown
    assert slow is not None
    padded = np.hstack([position, np.full((len(position), 1), 0.5)])
    down, up = slow.speeds(padded)
    allowed = np.where(velocity < 0.0, -down[:, :7], up[:, :7])
    return np.asarray(np.minimum(allowed, VELOCITY))


def _speeds(motion: Motion) -> float:
    speed = np.abs(motion.velocity)
    moving = speed > STILL_RAD_S
    limit = np.maximum(permitted(motion.position, motion.velocity), STILL_RAD_S)
    return float(np.where(moving, speed / limit, 0.0).max(initial=0.0))


def _outside(position: F64) -> float:
    beyond = np.maximum(LOW - position, position - HIGH)
    return float(np.maximum(beyond, 0.0).max(initial=0.0))


def periods(motion: Motion, stamped: bool) -> F64:
    """Return the time [N - 1] between messages, by their stamps where no clock was stepped."""
    sent, stamps = np.diff(motion.sent_s), np.diff(motion.stamp_s)
    if not stamped:
        return np.maximum(sent, LATE_S)
    dt = np.where(stamps > 0.0, stamps, np.maximum(sent, LATE_S))
    return np.asarray(np.maximum(dt, SHORTEST_S) + READING_S)


def of_command(command: Motion, target: Motion, arm: Motion, stamped: bool) -> Peaks:
    """Judge what the arbiter sent."""
    numbers = (command.position, command.velocity, target.position, target.velocity)
    finite = all(bool(np.isfinite(one).all()) for one in numbers)
    if not finite or len(command.sent_s) < 2 or len(target.sent_s) < 2:
        return Peaks(finite=finite)
    dt = periods(command, stamped)[:, None]
    rate = np.abs(np.diff(command.velocity, axis=0)) / dt / ACCELERATION
    outside = max(_outside(command.position), _outside(target.position))
    return Peaks(
        max(_speeds(command), _speeds(target)),
        float(rate.max(initial=0.0)),
        _steps(target, arm, stamped),
        outside,
    )


def _steps(target: Motion, arm: Motion, stamped: bool) -> float:
    """Largest step of the target against the velocity limit.

    A command that the controller ignored begins anew, at rest, where the arm was measured: such
    a step towards the arm is none that the arm makes.
    """
    dt = periods(target, stamped)[:, None]
    ratio = (np.abs(np.diff(target.position, axis=0)) / dt / VELOCITY).max(axis=1)
    for k in np.flatnonzero(ratio > 1.0 + ROUNDING):
        if _restarts(target, int(k) + 1, arm):
            ratio[k] = 0.0
    return float(ratio.max(initial=0.0))


def _restarts(target: Motion, k: int, arm: Motion) -> bool:
    if np.abs(target.velocity[k]).max() > STILL_RAD_S or not len(arm.sent_s):
        return False
    nearest = int(np.argmin(np.abs(arm.sent_s - target.sent_s[k])))
    return bool(np.abs(arm.position[nearest] - target.position[k]).max() < RESTART_RAD)


def judged(arm: Motion, target: Motion, stamped: bool) -> NDArray[np.bool_]:
    """Return which samples [N] of the arm say something about the stack.

    Not those at which the simulated robot itself was late, which a real one never is: its physics
    then makes up for many periods under one command. Nor those at which the tool may touch
    something.
    """
    if not len(arm.sent_s):
        return np.zeros(0, np.bool_)
    if stamped:
        disturbed = np.concatenate([arm.sent_s[_late(arm)], target.sent_s[_late(target)]])
    else:
        disturbed = np.concatenate([_after_gaps(arm, 0.0), _after_gaps(target, COMMANDS_S)])
    first = arm.sent_s[:1]  # what was before it is not known
    disturbed = np.sort(np.concatenate([disturbed, first, arm.sent_s[_low(arm)]]))
    since = np.searchsorted(disturbed, arm.sent_s - PRONE_S)
    return np.asarray(np.searchsorted(disturbed, arm.sent_s + WINDOW_S) == since)


def untouched(arm: Motion) -> NDArray[np.bool_]:
    """Return at which samples [N] the tool touches nothing, nor did or will in a moment."""
    low = arm.sent_s[_low(arm)]
    since = np.searchsorted(low, arm.sent_s - PRONE_S)
    return np.asarray(np.searchsorted(low, arm.sent_s + WINDOW_S) == since)


def uncontested(arm: Motion, intruder_s: Sequence[float]) -> NDArray[np.bool_]:
    """Return at which samples [N] nobody else commanded: then nobody follows what we send."""
    at, others = arm.sent_s, np.asarray(intruder_s, np.float64)
    since = np.searchsorted(others, at - CONTEST_S)
    return np.asarray(np.searchsorted(others, at + CONTEST_S) == since)


def _after_gaps(motion: Motion, period_s: float) -> F64:
    """Return when messages were sent or came again that were overdue."""
    overdue = np.zeros(len(motion.sent_s), np.bool_)
    for times in (motion.sent_s, motion.came_s):
        overdue |= np.diff(times, prepend=times[:1]) > period_s + OVERDUE_S
    return motion.sent_s[overdue]


def _low(arm: Motion) -> NDArray[np.bool_]:
    return np.asarray(chain().forward(arm.position).position[:, 2] < TOUCH_M)


def _late(motion: Motion) -> NDArray[np.bool_]:
    return np.asarray(lateness_s(motion) > OVERDUE_S)


def lateness_s(motion: Motion) -> F64:
    """Return how much later than usual each message [N] came after its stamp."""
    lag = motion.came_s - motion.stamp_s
    return np.asarray(lag - np.percentile(lag, 5)) if len(lag) else lag


def of_arm(arm: Motion, stamped: bool, fit: NDArray[np.bool_] | None = None) -> Peaks:
    """Judge what the arm did at the samples that are `fit`; acceleration over `WINDOW_S`."""
    finite = bool(np.isfinite(arm.position).all() and np.isfinite(arm.velocity).all())
    if not finite or len(arm.sent_s) < 2:
        return Peaks(finite=finite)
    fit = np.ones(len(arm.sent_s), np.bool_) if fit is None else fit
    times = arm.stamp_s if stamped else arm.sent_s
    later = np.searchsorted(times, times + WINDOW_S - 1e-6)
    first = np.flatnonzero((later < len(times)) & fit)
    span = (times[later[first]] - times[first])[:, None]
    if not stamped:  # a late message shortens the time between two; a step of the clock is longer
        told = (arm.stamp_s[later[first]] - arm.stamp_s[first])[:, None]
        span = np.where(np.abs(told - span) < WINDOW_S, np.maximum(told, span), span)
    usable = (span > 0.0) & (span < 2 * WINDOW_S)
    change = np.abs(arm.velocity[later[first]] - arm.velocity[first])
    rate = np.where(usable, change / np.maximum(span, 1e-3), 0.0) / ACCELERATION
    speeds = _speeds(
        Motion(times[fit], times[fit], arm.position[fit], arm.velocity[fit], times[fit])
    )
    return Peaks(speeds, float(rate.max(initial=0.0)), 0.0, _outside(arm.position))
