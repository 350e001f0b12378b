"""Place: put the red cube into the grey bin."""

from __future__ import annotations

import numpy as np

from arfm_ros.sim.tasks import task
from arfm_ros.sim.world import World

INSIDE_M = 0.07  # half of the bin's inner width


class Place:
    """The cube inside the bin and let go."""

    name = "place"
    instructions = (
        "put the red cube into the bin",
        "place the cube in the grey bin",
        "drop the red block into the box",
    )
    time_limit_s = 20.0

    def reset(self, world: World, rng: np.random.Generator) -> str:
        """Put the cube and the bin at random places."""
        cube, box = task.scatter(rng, 2, 0.20, task.lifter(world).workspace)
        world.reset(task.ready(world, rng))
        world.place("cube", (*cube, task.CUBE_HALF_M), task.any_yaw(rng))
        world.place("bin", (*box, 0.0))
        return task.choose(rng, self.instructions)

    def success(self, world: World) -> bool:
        """Tell whether the cube lies in the bin and no finger touches it."""
        cube, box = world.object_pose("cube")[0], world.object_pose("bin")[0]
        inside = np.abs(cube[:2] - box[:2]).max() < INSIDE_M and cube[2] < box[2] + 0.07
        return bool(inside and task.fingers_on(world, task.lifter(world), "cube") == 0)

    def progress(self, world: World) -> float:
        """Return up to 0.5 for coming near the cube and the rest for the cube nearing the bin."""
        cube, box = world.object_pose("cube")[0], world.object_pose("bin")[0]
        if self.success(world):
            return 1.0
        tool = world.tool_pose(task.lifter(world).group)[0]
        near = 1.0 - float(np.linalg.norm(tool - cube)) / 0.5
        brought = 1.0 - float(np.linalg.norm(cube[:2] - box[:2])) / 0.5
        return float(0.5 * np.clip(near, 0.0, 1.0) + 0.4 * np.clip(brought, 0.0, 1.0))
