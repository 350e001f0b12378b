"""Lift: take the red cube off the table."""

from __future__ import annotations

import numpy as np

from arfm_ros.sim.tasks import task
from arfm_ros.sim.world import World

LIFTED_M = 0.10  # height of the cube's centre above the table


class Lift:
    """The cube in the gripper and clear of the table; the blue ball is a distraction."""

    name = "lift"
    instructions = ("pick up the red cube", "lift the red cube", "grasp the red block and lift it")
    time_limit_s = 15.0

    def reset(self, world: World, rng: np.random.Generator) -> str:
        """Put the cube at a random place and angle, and the ball beside it."""
        cube, ball = task.scatter(rng, 2, 0.13, task.lifter(world).workspace)
        world.reset(task.ready(world, rng))
        world.place("cube", (*cube, task.CUBE_HALF_M), task.any_yaw(rng))
        world.place("marker", (*ball, rng.uniform(0.08, 0.15)))
        return task.choose(rng, self.instructions)

    def success(self, world: World) -> bool:
        """Tell whether the cube is up and held."""
        height = world.object_pose("cube")[0][2]
        return bool(height > LIFTED_M and task.fingers_on(world, task.lifter(world), "cube") == 2)

    def progress(self, world: World) -> float:
        """Return up to 0.5 for coming near and the rest for height."""
        cube = world.object_pose("cube")[0]
        tool = world.tool_pose(task.lifter(world).group)[0]
        near = 1.0 - float(np.linalg.norm(tool - cube)) / 0.5
        raised = (cube[2] - task.CUBE_HALF_M) / (LIFTED_M - task.CUBE_HALF_M)
        return float(0.5 * np.clip(near, 0.0, 1.0) + 0.5 * np.clip(raised, 0.0, 1.0))
