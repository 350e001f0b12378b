"""Episodes out of a robomimic HDF5 file: `data/demo_<n>/{actions, obs/...}`.

Numbers of one observation become joints `<observation>_<n>`, pictures cameras; the actions are
what the file's controller was told and are called `action_<n>`. Pictures become PNG: nothing is
lost of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.libraries import library
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages

BEGIN_NS, APART_NS = 1_700_000_000 * 10**9, 1_000 * 10**9
STATES = ("robot0_joint_pos", "robot0_gripper_qpos", "robot0_eef_pos", "robot0_eef_quat")
DEFAULT_HZ = 20.0


def targets(path: Path, out: Path, task: str = "") -> list[tuple[Path, Callable[[Path], object]]]:
    """List the episodes of a file: the folder of each and what writes it."""
    with _open(path) as file:
        demos = sorted(file["data"], key=lambda name: int(name.rpartition("_")[2]))
    name = task or path.stem
    return [
        (out / f"{path.stem}_{demo}", partial(_write, path, demo, n, name))
        for n, demo in enumerate(demos)
    ]


def _open(path: Path) -> Any:
    try:
        file = library("h5py").File(path, "r")
    except OSError as error:
        raise EpisodeError(f"cannot read {path}: {error}") from error
    if "data" not in file:
        raise EpisodeError(f"{path} has no group 'data': it is no robomimic file")
    return file


def _write(path: Path, demo: str, number: int, task: str, target: Path) -> Path:
    with _open(path) as file:
        period_ns = round(1e9 / _hz(file["data"]))
        one = file["data"][demo]
        if "actions" not in one or "obs" not in one:
            raise EpisodeError(f"{path}: {demo} needs actions and obs, has {', '.join(one)}")
        states, cameras = _states(one["obs"]), _cameras(one["obs"])
        actions = np.asarray(one["actions"], np.float64)
        words = [f"action_{n}" for n in range(actions.shape[1])]
        begin_ns = BEGIN_NS + number * APART_NS
        writer = EpisodeWriter(target)
        writer.write("/instruction", *messages.string(task), begin_ns)
        for t in range(len(actions)):
            now = begin_ns + t * period_ns
            for name, pictures in cameras.items():
                message = messages.compressed_image(now, _png(pictures[t]), name)
                writer.write(f"/{name}/image_raw/compressed", *message, now)
            names, values = states
            writer.write("/joint_states", *messages.joint_state(now, names, values[t]), now)
            due = now + period_ns
            writer.write("/arbiter/command", *messages.joint_state(due, words, actions[t]), due)
        end_ns = begin_ns + len(actions) * period_ns
        writer.label({"task": task, "source": f"robomimic {demo}"} | _success(one), end_ns)
        return writer.close()


def _hz(data: Any) -> float:
    """Read how often the file's controller was told something."""
    try:
        told = json.loads(data.attrs["env_args"])["env_kwargs"]["control_freq"]
        return float(told)
    except (KeyError, ValueError, TypeError):
        return DEFAULT_HZ


def _states(obs: Any) -> tuple[Sequence[str], Any]:
    """Give the names and numbers [T, S] of what is measured of the robot."""
    keys = [key for key in STATES if key in obs] or [k for k in obs if obs[k].ndim == 2]
    if not keys:
        raise EpisodeError(f"obs has nothing that is measured: {', '.join(obs)}")
    names = [f"{key}_{n}" for key in keys for n in range(obs[key].shape[1])]
    return names, np.concatenate([np.asarray(obs[key], np.float64) for key in keys], axis=1)


def _cameras(obs: Any) -> dict[str, Any]:
    keys = [key for key in obs if obs[key].ndim == 4 and obs[key].shape[-1] == 3]
    return {key.removesuffix("_image"): obs[key] for key in keys}


def _success(one: Any) -> dict[str, object]:
    """Read whether it succeeded: a reward was given at its end."""
    return {"success": bool(np.asarray(one["rewards"])[-1] > 0)} if "rewards" in one else {}


def _png(rgb: Any) -> bytes:
    done, data = cv2.imencode(".png", np.asarray(rgb)[:, :, ::-1])
    if not done:
        raise EpisodeError(f"a picture {np.shape(rgb)} cannot be written as PNG")
    return data.tobytes()
