"""What a checkpoint of openpi's PyTorch code holds: found, told apart, its statistics read.

Layout and formulas: Physical Intelligence's openpi, `examples/convert_jax_model_to_pytorch.py`,
`scripts/train_pytorch.py`, `shared/normalize.py`, `transforms.py` (Normalize, Unnormalize).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.export.lerobot.processors import read_json
from arfm_ros.export.openpi import orbax

WEIGHTS, CONFIG, ASSETS, STATISTICS = (
    "model.safetensors",
    "config.json",
    "assets",
    "norm_stats.json",
)
EPSILON = 1e-6  # what openpi adds to a deviation or a range
CONVERT = (
    "pip install orbax-checkpoint jax beside LeRobot reads it, or openpi's converter makes "
    "PyTorch's of it (pi0 and pi0.5): "
    "uv run examples/convert_jax_model_to_pytorch.py --checkpoint_dir {folder} --config_name NAME "
    "--output_path OUT; or let openpi serve it (also pi0-FAST): remote:ws://HOST:8000"
)


def find_folder(named: Path) -> Path:
    """Return the folder with the weights: `named`, or the last step of a training in it.

    Raises `ConfigError` for a folder that is not there, or a JAX checkpoint where nothing here
    reads it, with what to do.
    """
    if not named.is_dir():
        raise ConfigError(f"there is no folder {named}: give openpi:FOLDER")
    steps = [one for one in named.iterdir() if one.name.isdecimal()]
    for folder in (named, *sorted(steps, key=lambda one: int(one.name), reverse=True)):
        if (folder / WEIGHTS).is_file():
            return folder
        if (folder / orbax.PARAMS).is_dir():
            if orbax.installed():
                return folder
            told = CONVERT.format(folder=folder)
            raise ConfigError(f"{folder} is a JAX checkpoint ({orbax.PARAMS}/). {told}")
    raise ConfigError(f"{named} has no {WEIGHTS} or {orbax.PARAMS}/, nor a step's folder with one")


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json, empty where a training left none, and of which kind the weights are.

    `model_type` is pi0 or pi05. Raises `ConfigError` for weights that are neither.
    """
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    return config | {"model_type": _kind(folder, list(shapes_of(folder)))}


def _kind(folder: Path, names: list[str]) -> str:
    bare = {name.removeprefix("_orig_mod.") for name in names}
    for kind, part in (("pi05", "time_mlp_in.weight"), ("pi0", "action_time_mlp_in.weight")):
        if part in bare:
            return kind
    if "model.action_in_proj.weight" in bare:
        raise ConfigError(f"{folder} is LeRobot's: export lerobot:{folder}")
    raise ConfigError(
        f"{folder} has neither time_mlp_in nor action_time_mlp_in: it is no pi0 or pi0.5 (openpi "
        "serves pi0-FAST: remote:ws://HOST:8000)"
    )


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes of the weights. Raises `ConfigError` for an unreadable file."""
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        return orbax.shapes_of(folder)
    try:
        with safe_open(path, "np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read the weights in {path}: {error}") from error


def read_statistics(folder: Path, asset: str) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """Read norm_stats.json of an asset, "" for the only one; return its name too.

    Raises `ConfigError` listing the assets where it is not clear which.
    """
    root = folder / ASSETS
    found = {str(p.parent.relative_to(root)): p for p in sorted(root.rglob(STATISTICS))}
    if not found:
        raise ConfigError(
            f"{folder} has no {ASSETS}/ASSET/{STATISTICS}: copy the {ASSETS} of the training there"
        )
    if asset not in found and (asset or len(found) > 1):
        raise ConfigError(
            f"{root} has the statistics of {', '.join(found)}: say in the interface file which, "
            "extra: {asset: NAME}"
        )
    name = asset or next(iter(found))
    path = found[name]
    known = read_json(path).get("norm_stats")
    missing = [name for name in ("state", "actions") if name not in (known or {})]
    if missing:
        raise ConfigError(f"{path} has no statistics of {', '.join(missing)}")
    return name, dict(known or {})


def affine_of(known: Mapping[str, Any], what: str, size: int, quantiles: bool) -> Affine:
    """Make the normalisation of `size` numbers, whose statistics may be longer.

    By mean and deviation, or by quantiles: q01..q99 become -1..1. Raises `ConfigError` for fewer
    or none.
    """
    keys = ("q01", "q99") if quantiles else ("mean", "std")
    rows = [np.asarray(known[what].get(key) or (), np.float64).reshape(-1) for key in keys]
    short = min(map(len, rows))
    if short < size:
        raise ConfigError(
            f"{STATISTICS}: {what} has {short} numbers in {' and '.join(keys)}, the interface "
            f"file {size}"
        )
    first, second = (row[:size] for row in rows)
    if not quantiles:
        return Affine(first.astype(np.float32), (second + EPSILON).astype(np.float32))
    half = (second - first + EPSILON) / 2
    return Affine((first + half).astype(np.float32), half.astype(np.float32))
