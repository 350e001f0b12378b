"""What LeRobot's saved processors say: normalisation, tokenizer, relative actions.

`policy_preprocessor.json` and `policy_postprocessor.json` list steps; a step's tensors lie beside
them as safetensors. They are read as files, so that nothing is fetched from a hub.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32
from arfm_ros.core.values.normalize import Affine
from arfm_ros.export.lerobot.steps import (
    NORMALIZER,
    RENAME,
    TOKENIZER,
    UNNORMALIZER,
    Order,
    account,
)
from arfm_ros.export.lerobot.versions import RELATIVE_STEPS

BEFORE, AFTER = "policy_preprocessor.json", "policy_postprocessor.json"
STATE, ACTION = "observation.state", "action"
# mode of normalisation -> the statistics it is made of
STATISTICS = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
    "IDENTITY": (),
}
EPSILON = 1e-8  # what LeRobot adds to a deviation, or takes for a range of nothing
MIGRATE = "python -m lerobot.processor.migrate_policy_normalization"


@dataclass(frozen=True, slots=True, eq=False)
class Processors:
    """What `read_processors` read."""

    state: Affine  # [S]
    action: Affine  # [A]
    tokenizer: Mapping[str, Any]  # settings of the step that tokenizes
    relative: Mapping[str, Any]  # settings of the step that makes actions relative, or nothing


def read_processors(folder: Path, state_size: int, action_size: int, order: Order) -> Processors:
    """Read both files of a checkpoint folder, of a family whose steps are in `order`.

    Raises `ConfigError` naming the file, step or statistic that is missing or not exported.
    """
    before, after = read_pipelines(folder, order)
    mode = before[NORMALIZER]["config"]["norm_map"].get("VISUAL", "IDENTITY")
    if mode != "IDENTITY":
        raise ConfigError(f"{folder}: {NORMALIZER} has VISUAL = {mode}, exported is IDENTITY")
    relative = next((before[name] for name in RELATIVE_STEPS if name in before), {})
    return Processors(
        state=affine_of(folder, before[NORMALIZER], (STATE, "STATE"), state_size),
        action=affine_of(folder, after[UNNORMALIZER], (ACTION, "ACTION"), action_size),
        tokenizer=before[TOKENIZER].get("config", {}),
        relative=relative.get("config", {}),
    )


def read_pipelines(
    folder: Path, order: Order, own: Iterable[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the steps before and after the policy by name; all are reproduced by a bundle.

    `own` are the features of the policy, where the step that normalises does not know them.
    Raises `ConfigError` naming the file or step that is missing, or not reproduced.
    """
    for name in (BEFORE, AFTER):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder} has no {name}: save the processors there, or, for a checkpoint from "
                f"before LeRobot had them, run {MIGRATE}"
            )
    before, after = read_steps(folder / BEFORE), read_steps(folder / AFTER)
    for path, steps, step in ((BEFORE, before, order.first), (AFTER, after, order.last)):
        if step not in steps:
            raise ConfigError(f"{folder / path} has no step {step}, but: {', '.join(steps)}")
    account(folder, before, after, order)
    renamed = before.get(RENAME, {}).get("config", {}).get("rename_map") or {}
    features = before[order.first]["config"].get("features") or dict.fromkeys(own)
    taken = [name for name in renamed if name in features]
    if taken:
        raise ConfigError(f"{folder}: {RENAME} renames the policy's own {', '.join(taken)}")
    return before, after


def read_steps(path: Path) -> dict[str, dict[str, Any]]:
    """Map the name of each step of a pipeline's file to what is said of it, in order.

    Raises `ConfigError` for a step that is there twice.
    """
    steps = read_json(path).get("steps", [])
    names = [str(step.get("registry_name", step.get("class"))) for step in steps]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{path} has the step {twice[0]} twice, which is not exported")
    return dict(zip(names, steps))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file. Raises `ConfigError` naming it."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def affine_of(folder: Path, step: dict[str, Any], what: tuple[str, str], size: int) -> Affine:
    """Make the normalisation of `what` (feature, its kind), [size], as LeRobot computes it.

    Raises `ConfigError` naming the mode or the statistic that is not known.
    """
    (name, kind), config = what, step["config"]
    mode = str(config["norm_map"].get(kind, "IDENTITY"))
    if mode not in STATISTICS:
        raise ConfigError(f"{folder}: {name} has mode {mode}, known are: {', '.join(STATISTICS)}")
    if mode == "IDENTITY":
        return Affine(np.zeros(size, np.float32), np.ones(size, np.float32))
    tensors = state_tensors(folder, step)
    wanted = [f"{name}.{statistic}" for statistic in STATISTICS[mode]]
    missing = [key for key in wanted if key not in tensors]
    if missing:
        raise ConfigError(
            f"{folder / str(step.get('state_file', ''))} has no {', '.join(missing)}, which the "
            f"mode {mode} of {name} needs: save the processors with the dataset's statistics"
        )
    first, second = (tensors[key].reshape(-1) for key in wanted)
    if first.shape != (size,):
        raise ConfigError(f"{folder}: {wanted[0]} is {list(first.shape)}, needs [{size}]")
    return normalisation(mode, first, second, 1.0 if kind != "ACTION" else EPSILON)


def normalisation(mode: str, first: F32, second: F32, rest: float) -> Affine:
    """Map to mean 0 and deviation 1, or a range to -1..1.

    What never moved goes to -1, as in LeRobot; `rest` is half the range that it gets: something
    for an input, which LeRobot blows up at the least motion, nothing for an action.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    if mode == "MEAN_STD":
        return Affine(first, (b + EPSILON).astype(np.float32))
    width = np.where(a == b, 2 * rest, b - a)
    return Affine((a + width / 2).astype(np.float32), (width / 2).astype(np.float32))


def state_tensors(folder: Path, step: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Read the statistics of a step by name. Raises `ConfigError` if their file is missing."""
    from safetensors.numpy import load_file

    path = folder / str(step.get("state_file", ""))
    if not path.is_file():
        raise ConfigError(f"{path} is missing: it holds the statistics")
    return {key: np.asarray(value, np.float32) for key, value in load_file(path).items()}
