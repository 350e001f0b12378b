"""Reach: bring the fingertips to the blue ball, wherever it stands; with two arms, to both."""

from __future__ import annotations

import numpy as np

from arfm_ros.sim.tasks import task
from arfm_ros.sim.world import World

TOLERANCE_M = 0.025
HEIGHT_M = (0.08, 0.28)


class Reach:
    """Each arm's ball within `TOLERANCE_M` of its tool; the cube is a distraction."""

    name = "reach"
    instructions = ("reach the blue ball", "move to the blue ball", "touch the blue marker")
    time_limit_s = 8.0

    def reset(self, world: World, rng: np.random.Generator) -> str:
        """Put a ball for each arm at a random place and height, and the cube beside the first."""
        first, *others = world.arms
        ball, cube = task.scatter(rng, 2, 0.10, first.workspace)
        world.reset(task.ready(world, rng))
        world.place(first.marker, (*ball, rng.uniform(*HEIGHT_M)))
        world.place("cube", (*cube, task.CUBE_HALF_M), task.any_yaw(rng))
        for arm in others:
            (ball,) = task.scatter(rng, 1, 0.0, arm.workspace)
            world.place(arm.marker, (*ball, rng.uniform(*HEIGHT_M)))
        return task.choose(rng, self.instructions)

    def success(self, world: World) -> bool:
        """Tell whether every tool is at its ball."""
        return self._distance_m(world) < TOLERANCE_M

    def progress(self, world: World) -> float:
        """Return 1 at the ball and less with distance (0 from 0.5 m on)."""
        return float(np.clip(1.0 - self._distance_m(world) / 0.5, 0.0, 1.0))

    @staticmethod
    def _distance_m(world: World) -> float:
        """Return the distance of the tool that is farthest from its ball."""
        ways = (world.tool_pose(a.group)[0] - world.object_pose(a.marker)[0] for a in world.arms)
        return max(float(np.linalg.norm(way)) for way in ways)
