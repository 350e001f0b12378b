"""Push: slide the green puck onto the yellow zone."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from arfm_ros.sim.arms.arm import Workspace
from arfm_ros.sim.tasks import task
from arfm_ros.sim.world import World

TOLERANCE_M = 0.03


class Push:
    """The puck's centre within `TOLERANCE_M` of the zone's."""

    name = "push"
    instructions = (
        "push the green puck onto the yellow zone",
        "slide the green puck to the yellow circle",
        "move the puck to the yellow target",
    )
    time_limit_s = 20.0

    def reset(self, world: World, rng: np.random.Generator) -> str:
        """Put the puck at a random place and the zone 10 to 18 cm from it, both on the table."""
        puck, zone = self._draw(rng, task.lifter(world).workspace)
        world.reset(task.ready(world, rng))
        world.place("puck", (*puck, task.PUCK_HALF_HEIGHT_M))
        world.place("zone", (*zone, 0.001))
        return task.choose(rng, self.instructions)

    def success(self, world: World) -> bool:
        """Tell whether the puck is on the zone."""
        return self._distance_m(world) < TOLERANCE_M

    def progress(self, world: World) -> float:
        """Return 1 with the puck on the zone and less with distance (0 from 0.2 m on)."""
        return float(np.clip(1.0 - self._distance_m(world) / 0.2, 0.0, 1.0))

    @staticmethod
    def _draw(rng: np.random.Generator, space: Workspace) -> tuple[task.F64, task.F64]:
        low = np.array([space.x_m[0] + 0.04, space.y_m[0] + 0.04])
        high = np.array([space.x_m[1] - 0.04, space.y_m[1] - 0.04])
        while True:
            puck = rng.uniform(low, high)
            angle = rng.uniform(-pi, pi)
            zone = puck + rng.uniform(0.10, 0.18) * np.array([cos(angle), sin(angle)])
            if (zone > low).all() and (zone < high).all():
                return puck, zone

    @staticmethod
    def _distance_m(world: World) -> float:
        gap = world.object_pose("puck")[0][:2] - world.object_pose("zone")[0][:2]
        return float(np.linalg.norm(gap))
