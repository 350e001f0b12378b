"""A bundle as the start of a training: its weights, sizes, specification and history."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open

from arfm_ros.core.errors import ConfigError
from arfm_ros.engines.bundle import WEIGHTS, load_bundle
from arfm_ros.learn.loop.checkpoint import Checkpoint
from arfm_ros.learn.model.network import ModelConfig

SIZES = "model_config"  # key in the metadata of weights.safetensors


def bundle_checkpoint(folder: Path) -> Checkpoint:
    """Read the bundle in `folder` as a checkpoint with no optimiser state.

    Raises `BundleError` if it is damaged, `ConfigError` if it was not trained here.
    """
    bundle = load_bundle(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise ConfigError(f"{folder} has no {WEIGHTS}: this bundle cannot be trained further")
    with safe_open(path, framework="pt") as file:
        notes = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}
    if SIZES not in notes:
        raise ConfigError(f"{path} does not tell the network's sizes ('{SIZES}')")
    return Checkpoint(
        model=weights,
        average=weights,
        optimiser={},
        config=ModelConfig.from_json(json.loads(notes[SIZES])),
        spec=bundle.spec,
        step=bundle.provenance.get("steps", 0),
        elapsed_s=bundle.provenance.get("seconds", 0.0),
        provenance={**bundle.provenance, "bundle": bundle.sha256},
        validation=bundle.provenance.get("validation", {}),
    )


def bundle_notes(folder: Path) -> dict[str, str]:
    """Read what is noted beside the weights of the bundle in `folder`."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return dict(file.metadata() or {})


def sizes_to_json(config: ModelConfig) -> dict[str, str]:
    """Make the metadata that `bundle_checkpoint` reads."""
    return {SIZES: json.dumps(config.to_json())}
