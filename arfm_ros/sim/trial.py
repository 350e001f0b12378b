"""One task in one world: chosen by name, started by a seed, watched while it runs."""

from __future__ import annotations

import numpy as np

from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.tasks.task import Task
from arfm_ros.sim.world import World


class Trial:
    """The running episode of a task; the same task and seed give the same start."""

    def __init__(self, world: World, task: str) -> None:
        self._world = world
        self._task: Task = make_task(task)
        self._started_ns = 0
        self.name = task
        self.seed = 0
        self.instruction = ""

    def choose(self, task: str) -> Trial:
        """Set the task of the next reset; raise ConfigError for an unknown one."""
        if task != self.name:
            self._task, self.name = make_task(task), task
        return self

    def reset(self, seed: int) -> str:
        """Start an episode and return its instruction."""
        self.seed = seed
        self.instruction = self._task.reset(self._world, np.random.default_rng(seed))
        self._started_ns = self._world.time_ns
        return self.instruction

    def report(self) -> dict[str, object]:
        """Return how the episode goes, as `task/state` says it."""
        poses = {f"pose_{name}": self._pose(name) for name in self._world.objects}
        return {
            "seed": self.seed,
            "success": str(self._task.success(self._world)).lower(),
            "progress": float(self._task.progress(self._world)),
            "elapsed_s": (self._world.time_ns - self._started_ns) * 1e-9,
            **poses,
        }

    def _pose(self, name: str) -> str:
        """Write position and quaternion xyzw of an object, as recorded demonstrations have it."""
        position, quaternion = self._world.object_pose(name)
        return " ".join(f"{value:.5f}" for value in (*position, *quaternion))
