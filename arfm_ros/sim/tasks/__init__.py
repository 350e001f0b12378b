"""The tasks of the embedded robot, by name."""

from __future__ import annotations

from collections.abc import Callable

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.tasks.lift import Lift
from arfm_ros.sim.tasks.place import Place
from arfm_ros.sim.tasks.push import Push
from arfm_ros.sim.tasks.reach import Reach
from arfm_ros.sim.tasks.task import Task, graspers
from arfm_ros.sim.world import World

TASKS: dict[str, Callable[[], Task]] = {t.name: t for t in (Reach, Lift, Push, Place)}


def make_task(name: str) -> Task:
    """Return the task called `name`. Raises `ConfigError` listing the known ones."""
    if name not in TASKS:
        raise ConfigError(f"task '{name}' is unknown, needs one of {', '.join(TASKS)}")
    return TASKS[name]()


def tasks_of(world: World) -> tuple[str, ...]:
    """List the tasks that the world's robot can do: without a gripper only `reach`."""
    return tuple(TASKS) if graspers(world) else (Reach.name,)
