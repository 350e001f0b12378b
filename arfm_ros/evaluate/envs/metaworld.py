"""Meta-World's 50 tasks of a Sawyer arm (Yu et al. 2019), by the package `metaworld` 3.

A policy sees the hand, how far it is open, what lies on the table and the goal, from state or by
cameras; it moves the hand by a step and opens or closes it. The rest is the package's: starts
(`MT1(task, seed // 50)` has fifty, number `seed % 50` is taken), 500 steps at most, success as
soon as the task says so, experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.evaluate.envs.environment import Act, Body, Cameras, Kind, Pictures, Step
from arfm_ros.robots.embodiment import OPENING, Embodiment
from arfm_ros.sim.view.render import Renderer

F64 = NDArray[np.float64]
STEP_M = 0.01  # of the hand at an action of 1, the package's `action_scale`
STARTS = 50  # of a seed of the package's benchmarks
DT_NS = 12_500_000  # 5 steps of the physics of 2.5 ms
REWARD_MAX = 10.0
VERSION = "-v3"
HAND = (
    *(Axis(f"hand_{axis}", "m") for axis in "xyz"),
    Axis("gripper", OPENING, 0.0, 1.0),
)
PLACES = tuple(f"{thing}_{part}" for thing in ("object", "other") for part in
               ("x", "y", "z", "qx", "qy", "qz", "qw"))  # fmt: skip
NOW = (*(axis.name for axis in HAND), *PLACES)
GOAL = ("goal_x", "goal_y", "goal_z")
SEEN = (*NOW, *(f"before_{name}" for name in NOW), *GOAL)  # the package's 39 numbers
STATE = (*HAND, *(Axis(name, "m" if name[-2] == "_" else "") for name in (*PLACES, *GOAL)))
ACTION = (
    *(Axis(f"hand_step_{axis}", "m", -STEP_M, STEP_M) for axis in "xyz"),
    Axis("gripper", OPENING, 0.0, 1.0),
)
CAMERAS = ("topview", "corner", "corner2", "corner3", "corner4", "behindGripper", "gripperPOV")
# Table 1 of the paper's appendix for MT10; the others are told by their names
WORDS = {
    "reach": "reach a goal position",
    "push": "push the puck to a goal",
    "pick-place": "pick and place a puck to a goal",
    "door-open": "open a door with a revolving joint",
    "drawer-open": "open a drawer",
    "drawer-close": "push and close a drawer",
    "button-press-topdown": "press a button from the top",
    "peg-insert-side": "insert a peg sideways",
    "window-open": "push and open a window",
    "window-close": "push and close a window",
}
MISSING = "Meta-World is not installed: run it by ./arfm, or 'pip install .[metaworld]'"


def _package() -> Any:
    try:
        import metaworld
    except ImportError as error:
        raise ConfigError(f"{MISSING} ({error})") from error
    return metaworld


def tasks(named: str) -> tuple[str, ...]:
    """List the tasks of `push-v3`, `push`, `mt10`, `mt25`, `mt50` or '' (mt50).

    Raises `ConfigError` listing the known ones.
    """
    package = _package()
    known = tuple(package.ALL_V3_ENVIRONMENTS)
    suites = {name: getattr(package.env_dict, f"{name.upper()}_V3") for name in ("mt10", "mt25")}
    if named in suites:
        return tuple(suites[named])
    if named in {"", "mt50"}:
        return known
    task = named if named.endswith(VERSION) else named + VERSION
    if task not in known:
        raise ConfigError(
            f"Meta-World has no task '{named}', needs mt10, mt25, mt50 or one of "
            f"{', '.join(known)}"
        )
    return (task,)


def instruction(task: str) -> str:
    """Say in words what a task is."""
    name = task.removesuffix(VERSION)
    return WORDS.get(name, name.replace("-", " "))


def to_package(action: F64) -> F64:
    """Turn a step of the hand [m] and an opening 0..1 into the package's four numbers -1..1.

    Its last one closes: 1 is shut.
    """
    return np.clip(np.append(action[:3] / STEP_M, 1.0 - 2.0 * action[3]), -1.0, 1.0)


def from_package(action: F64) -> F64:
    """Turn the package's four numbers into a step of the hand [m] and an opening 0..1."""
    inside = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
    return np.append(inside[:3] * STEP_M, (1.0 - inside[3]) / 2.0)


@lru_cache(maxsize=64)
def _starts(task: str, seed: int) -> tuple[Any, ...]:
    """Return the fifty starts that the package draws for a task from a seed."""
    return tuple(_package().MT1(task, seed=seed).train_tasks)


class MetaWorld:
    """One of the package's environments at a time; the state holds the axes `state`, in order."""

    def __init__(self, state: Sequence[str], cameras: Cameras = ()) -> None:
        missing = [name for name in state if name not in SEEN]
        missing += [name for name, _, _ in cameras if name not in CAMERAS]
        if missing:
            raise ConfigError(
                f"Meta-World does not sense {', '.join(missing)}; it has {', '.join(NOW)}, "
                f"{', '.join(GOAL)}, before_..., and the cameras {', '.join(CAMERAS)}"
            )
        self._columns = [SEEN.index(name) for name in state]
        self._cameras = tuple(cameras)
        self._worlds: dict[str, Any] = {}
        self._eyes: dict[str, Renderer] = {}  # of the present task
        self._task, self._steps, self._moves = "", 0, 0

    def reset(self, task: str, seed: int) -> Observation:
        """Start an episode; raises `ConfigError` for an unknown task."""
        task = tasks(task)[0]
        start = _starts(task, seed // STARTS)[seed % STARTS]
        if task != self._task:
            self._close_eyes()
            self._task = task
        self._world = self._worlds.setdefault(task, None) or self._make(task)
        self._world.set_task(start)
        self._steps = 0
        return self._observe(self._world.reset()[0])

    def step(self, action: F64) -> Step:
        """Move the hand by a step [m] and open it so far (0..1), for 12.5 ms."""
        if self._steps >= self._world.max_path_length:  # there the package takes no more
            return replace(self._last, over=True)
        numbers, reward, _, over, told = self._world.step(to_package(action).astype(np.float32))
        self._steps += 1
        success = bool(told["success"])
        progress = float(np.clip(reward / REWARD_MAX, 0.0, 1.0))
        self._last = Step(self._observe(numbers), progress, success, success or bool(over))
        return self._last

    def close(self) -> None:
        """Free the pictures and the worlds."""
        self._close_eyes()
        for world in self._worlds.values():
            world.close()

    def _make(self, task: str) -> Any:
        world = _package().ALL_V3_ENVIRONMENTS[task]()
        self._worlds[task] = world
        return world

    def _observe(self, numbers: F64) -> Observation:
        state = np.asarray(numbers, np.float32)[self._columns]
        self._moves += 1
        images = Pictures(self._cameras, self._look, lambda: self._moves)
        return Observation(images, state, instruction(self._task), self._steps * DT_NS)

    def _look(self, camera: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        world = self._world
        if camera not in self._eyes:
            self._eyes[camera] = Renderer(world.model, *size, cameras=(camera,))
        return self._eyes[camera].render(world.data, camera)

    def _close_eyes(self) -> None:
        for eye in self._eyes.values():
            eye.close()
        self._eyes = {}


def expert(task: str) -> Act:
    """Return the package's scripted expert; it takes observations of all that can be sensed."""
    _package()
    from metaworld.policies import ENV_POLICY_MAP

    scripted = ENV_POLICY_MAP[tasks(task)[0]]()
    return lambda seen: from_package(scripted.get_action(seen.state.astype(np.float64)))


def _for_policy(spec: PolicySpec) -> MetaWorld:
    wanted = tuple(axis.name for axis in ACTION)
    if spec.action_names != wanted:
        raise ConfigError(
            f"the policy's actions are {', '.join(spec.action_names)}, Meta-World takes "
            f"{', '.join(wanted)}: train it on demonstrations of it (arfm demos --env metaworld)"
        )
    if spec.dt_ns != DT_NS:
        raise ConfigError(f"the policy's dt is {spec.dt_ns / 1e6:g} ms, Meta-World's 12.5 ms")
    return MetaWorld(spec.state_names, [(c.name, c.height, c.width) for c in spec.cameras])


METAWORLD = Kind(
    tasks, _for_policy, Body(Embodiment(STATE, ACTION), SEEN, CAMERAS, DT_NS), MetaWorld, expert
)
