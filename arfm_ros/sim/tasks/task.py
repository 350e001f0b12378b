"""What a task is: a randomised start, an instruction, a success test and a progress measure."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.arms.arm import SPREAD_M, Arm, Workspace
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]

CUBE_HALF_M = 0.0225
PUCK_HALF_HEIGHT_M = 0.02
HELD_MS = 300  # a goal counts once it has held for so long


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


def graspers(world: World) -> tuple[Arm, ...]:
    """List the arms with a hand of two fingers."""
    return tuple(a for a in world.arms if a.opening is not None and len(a.fingers) == 2)


def lifter(world: World) -> Arm:
    """Return the arm that grasps: the first one with a hand; `ConfigError` where none has."""
    for arm in graspers(world):
        return arm
    raise ConfigError(
        f"robot '{world.robot.name}' has no gripper of two fingers to grasp with: only the task "
        "reach is for it"
    )


def ready(world: World, rng: np.random.Generator) -> F64:
    """Draw positions of all axes but grippers: tools within centimetres of where tasks begin."""
    command = np.array([axis.home for axis in world.robot.axes])
    for arm in world.arms:
        position = np.asarray(arm.workspace.ready_m) + rng.uniform(-SPREAD_M, SPREAD_M, 3)
        rotation = arm.solver.down(float(rng.uniform(-0.1, 0.1)))
        command[arm.own] = arm.solver.start(position, rotation)
    return np.asarray(command[~world.openings])


def scatter(
    rng: np.random.Generator, count: int, apart_m: float, space: Workspace | None = None
) -> F64:
    """Draw `count` points [count, 2] on the table that keep `apart_m` from each other."""
    space = space or Workspace()
    low, high = (space.x_m[0], space.y_m[0]), (space.x_m[1], space.y_m[1])
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


def fingers_on(world: World, arm: Arm, name: str) -> int:
    """Count the fingers (0 to 2) of an arm that touch an object."""
    return sum(any(world.touching(name, body) for body in finger) for finger in arm.fingers)
