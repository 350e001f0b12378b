"""How heavy an arm is at its joints: what its motors have to brake."""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.kinematics.model import reduced_model
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]
POSTURES = 3000
CORNERS = 0.3  # part of the joints that are drawn at an end of their way
ROUNDED_UP = 1.03


def inertia_max(robot: Robot, group: str, seed: int = 0) -> F64:
    """Return the largest |M_ij| [A, A] kg m^2 (kg where axes slide) over the group's postures.

    Of the joint-space inertia; other groups stand at home. A sample, rounded up by 3 %.
    """
    model, axes = reduced_model(robot, group), robot.group(group).axes
    rng = np.random.default_rng(seed)
    low = np.array([max(axis.low, -pi) for axis in axes])
    high = np.array([min(axis.high, pi) for axis in axes])
    most = np.zeros((len(axes), len(axes)))
    for _ in range(POSTURES):
        q = rng.uniform(low, high)
        ends = np.where(rng.random(len(axes)) < 0.5, low, high)
        q = np.where(rng.random(len(axes)) < CORNERS, ends, q)
        upper = model.pin.crba(model.model, model.data, model.configuration(q))
        whole = np.triu(upper) + np.triu(upper, 1).T
        most = np.maximum(most, np.abs(model.shares.T @ whole @ model.shares))
    return most * ROUNDED_UP


def torque_max(robot: Robot, group: str) -> F64:
    """Return the effort limits [A] of the group's joints in the description, Nm (or N)."""
    model = reduced_model(robot, group)
    found = np.abs(model.shares.T) @ np.asarray(model.model.effortLimit)
    missing = [n for n, t in zip(robot.group(group).names, found) if not 0.0 < t < np.inf]
    if missing:
        raise ConfigError(
            f"the description gives no effort limit for {', '.join(missing)}: a compliant "
            "controller needs it (<limit effort=...>)"
        )
    return np.asarray(found)
