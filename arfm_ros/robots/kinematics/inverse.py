"""Inverse kinematics by damped least squares, within joint limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.poses import Pose, rotation_vectors

F64 = NDArray[np.float64]
Look = Callable[[F64], tuple[F64, F64]]  # q [A] -> pose [4, 4] and Jacobian [6, A], base axes
ENOUGH = 1e-6  # rad; a step that is smaller changes nothing


@dataclass(frozen=True, slots=True)
class Search:
    """How long to look, and what is near enough."""

    iterations: int = 100
    position_m: float = 1e-6
    rotation_rad: float = 1e-6
    step_max: float = 0.3  # rad or m, of any joint in one iteration
    damping: float = 1e-4  # least singular value that is followed fully
    draw: float = 0.3  # part of the way to the posture in one iteration


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Positions q [A] and what is left of the pose's error."""

    q: F64
    error_m: float
    error_rad: float
    converged: bool


def solve(
    look: Look,
    pose: Pose,
    starts: tuple[F64, F64 | None],
    limits: tuple[F64, F64],
    search: Search,
) -> Solution:
    """Find q [A] with `look(q)` at `pose`, from `starts` (seed, and posture or None).

    The damping falls with the error (Sugihara, Solvability-unconcerned inverse kinematics, 2011),
    so that it is robust far away and exact near by. A joint at its limit is left out of a step
    that would push it further.
    """
    low, high = limits
    q, posture = np.clip(starts[0], low, high), starts[1]
    for _ in range(search.iterations):
        at, jacobian = look(q)
        error = _error(pose, at)
        near = _near(error, search)
        if near and posture is None:
            break
        wish = np.zeros(len(q)) if posture is None else search.draw * (posture - q)
        step = _step(jacobian, error, wish, (q <= low, q >= high), search)
        if near and float(np.abs(step).max()) < ENOUGH:
            break
        q = np.clip(q + step, low, high)
    error = _error(pose, look(q)[0])
    left_m, left_rad = (float(np.linalg.norm(part)) for part in (error[:3], error[3:]))
    return Solution(q, left_m, left_rad, _near(error, search))


def _error(pose: Pose, at: F64) -> F64:
    """Return what is left [6]: m, and the rotation vector in base axes."""
    turn = rotation_vectors(pose.rotation @ at[:3, :3].T)
    return np.concatenate([pose.position - at[:3, 3], turn])


def _near(error: F64, search: Search) -> bool:
    return bool(
        np.linalg.norm(error[:3]) <= search.position_m
        and np.linalg.norm(error[3:]) <= search.rotation_rad
    )


def _step(
    jacobian: F64,
    error: F64,
    wish: F64,
    at_limits: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    search: Search,
) -> F64:
    """Return the joints' step [A]; those that a limit stops are taken out one round after another.

    `wish` is followed in the null space only: it never costs accuracy.
    """
    free = np.ones(len(wish), dtype=bool)
    step = np.zeros(len(wish))
    while free.any():
        step = np.zeros(len(wish))
        step[free] = _least_squares(jacobian[:, free], error, wish[free], search.damping)
        stopped = free & ((at_limits[0] & (step < 0.0)) | (at_limits[1] & (step > 0.0)))
        if not stopped.any():
            break
        free &= ~stopped
    return step * min(1.0, search.step_max / max(float(np.abs(step).max()), 1e-12))


def _least_squares(jacobian: F64, error: F64, wish: F64, damping: float) -> F64:
    u, values, vt = np.linalg.svd(jacobian, full_matrices=False)
    squared = 0.5 * float(error @ error) + damping**2
    task = vt.T @ (values / (values**2 + squared) * (u.T @ error))
    return np.asarray(task + wish - vt.T @ (vt @ wish))
