"""What a task is: a randomised start, an instruction, a success test and a progress measure."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.control import fr3, kinematics
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]

READY_M = (0.42, 0.0, 0.32)  # tool position from which every task starts
CUBE_HALF_M = 0.0225
FINGERS = ("fr3_leftfinger", "fr3_rightfinger")
PUCK_HALF_HEIGHT_M = 0.02
WORKSPACE_X_M = (0.36, 0.62)
WORKSPACE_Y_M = (-0.22, 0.22)


class Task(Protocol):
    """A task in the simulator; it holds no state beyond what `reset` drew."""

    name: str
    instructions: Sequence[str]
    time_limit_s: float

    def reset(self, world: World, rng: np.random.Generator) -> str:
        """Draw a start, put the world into it and return the instruction."""

    def success(self, world: World) -> bool:
        """Tell whether the goal holds now."""

    def progress(self, world: World) -> float:
        """Return how far the task is, 0 at the start and 1 at the goal."""


def ready_arm(rng: np.random.Generator) -> F64:
    """Draw joint angles [7] with the tool within centimetres of `READY_M`, pointing down."""
    position = np.asarray(READY_M) + rng.uniform(-0.03, 0.03, 3)
    rotation = kinematics.pointing_down(float(rng.uniform(-0.1, 0.1)))
    return kinematics.inverse(position, rotation, np.asarray(fr3.HOME)).position_rad


def scatter(rng: np.random.Generator, count: int, apart_m: float) -> F64:
    """Draw `count` points [count, 2] on the table that keep `apart_m` from each other."""
    low = (WORKSPACE_X_M[0], WORKSPACE_Y_M[0])
    high = (WORKSPACE_X_M[1], WORKSPACE_Y_M[1])
    while True:
        points = rng.uniform(low, high, (count, 2))
        gaps = [np.linalg.norm(a - b) for i, a in enumerate(points) for b in points[:i]]
        if min(gaps, default=apart_m) >= apart_m:
            return points


def any_yaw(rng: np.random.Generator) -> float:
    """Draw a yaw in radians for an object that looks the same after a quarter turn."""
    return float(rng.uniform(-pi / 4, pi / 4))


def choose(rng: np.random.Generator, instructions: Sequence[str]) -> str:
    """Draw one wording."""
    return instructions[int(rng.integers(len(instructions)))]


def fingers_on(world: World, name: str) -> int:
    """Count the fingers (0 to 2) that touch an object."""
    return sum(world.touching(name, finger) for finger in FINGERS)
