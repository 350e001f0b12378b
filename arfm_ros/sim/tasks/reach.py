"""Reach: bring the fingertips to the blue ball, wherever it stands."""

from __future__ import annotations

import numpy as np

from arfm_ros.sim.tasks import task
from arfm_ros.sim.world import World

TOLERANCE_M = 0.025
HEIGHT_M = (0.08, 0.28)


class Reach:
    """The ball's centre within `TOLERANCE_M` of the tool; the cube is a distraction."""

    name = "reach"
    instructions = ("reach the blue ball", "move to the blue ball", "touch the blue marker")
    time_limit_s = 8.0

    def reset(self, world: World, rng: np.random.Generator) -> str:
        """Put the ball at a random place and height, and the cube beside it."""
        ball, cube = task.scatter(rng, 2, apart_m=0.10)
        world.reset(task.ready_arm(rng))
        world.place("marker", (*ball, rng.uniform(*HEIGHT_M)))
        world.place("cube", (*cube, task.CUBE_HALF_M), task.any_yaw(rng))
        return task.choose(rng, self.instructions)

    def success(self, world: World) -> bool:
        """Tell whether the tool is at the ball."""
        return self._distance_m(world) < TOLERANCE_M

    def progress(self, world: World) -> float:
        """Return 1 at the ball and less with distance (0 from 0.5 m on)."""
        return float(np.clip(1.0 - self._distance_m(world) / 0.5, 0.0, 1.0))

    @staticmethod
    def _distance_m(world: World) -> float:
        return float(np.linalg.norm(world.tool_pose()[0] - world.object_pose("marker")[0]))
