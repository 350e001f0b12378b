"""The ways in which a LeRobot checkpoint lies on a disk: found, and read as one state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.lerobot.processors import read_json

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
# below what a user names: a training's folder, its checkpoints, one of them
INSIDE = ("pretrained_model", "last/pretrained_model", "checkpoints/last/pretrained_model")
COMPILED = "_orig_mod."  # what torch.compile puts into the names


def find_folder(named: Path) -> Path:
    """Return the folder with config.json: `named`, one inside it, or a hub's copy in the cache.

    Raises `ConfigError` saying where it was looked for; nothing is downloaded.
    """
    for folder in (named, *(named / inside for inside in INSIDE)):
        if (folder / CONFIG).is_file():
            return folder
    if named.exists():
        raise ConfigError(f"{named} has no {CONFIG}, nor {', '.join(INSIDE)} with one")
    cached = _cached(str(named))
    if cached is None:
        raise ConfigError(f"there is no folder {named}, and no such name in the hub's cache")
    return cached


def _cached(name: str) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def read_state(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """Read the weights by name, and the file that errors are about: whole, sharded or adapted.

    Raises `ConfigError` for what is missing, unreadable, or an adapter that cannot be merged.
    """
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / WEIGHTS).is_file():
        from arfm_ros.export.lerobot.adapters import merge

        settings = read_json(folder / ADAPTER_CONFIG)
        base = find_folder(Path(str(settings.get("base_model_name_or_path"))))
        state, _ = read_state(base)
        return merge(state, _load(folder / ADAPTER), settings), folder / ADAPTER
    if (folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
        return _plain(_sharded(folder)), folder / INDEX
    return _plain(_load(folder / WEIGHTS)), folder / WEIGHTS


def _sharded(folder: Path) -> dict[str, Tensor]:
    places = read_json(folder / INDEX).get("weight_map", {})
    files = sorted(set(places.values()))
    missing = [name for name in files if not (folder / Path(name).name).is_file()]
    if missing or not files:
        raise ConfigError(f"{folder / INDEX} names {', '.join(missing) or 'no file'}: missing")
    return {k: v for name in files for k, v in _load(folder / Path(name).name).items()}


def _load(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read the weights in {path}: {error}") from error


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace(COMPILED, ""): value for name, value in state.items()}
