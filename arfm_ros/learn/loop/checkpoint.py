"""Checkpoints: everything needed to continue, or to export, in one file replaced atomically."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.gate.machine import machine as runtime_machine
from arfm_ros.learn.model.network import FlowPolicy, ModelConfig

NAME = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training state; tensors in `model` and `average` are keyed like a state_dict."""

    model: dict[str, Any]
    average: dict[str, Any]  # exponential moving average: what is exported
    optimiser: dict[str, Any]
    config: ModelConfig
    spec: PolicySpec
    step: int = 0
    elapsed_s: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)  # command, data, versions
    validation: dict[str, float] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)  # of the gradients, with fp16


def save_checkpoint(checkpoint: Checkpoint, run: Path) -> Path:
    """Write `run`/checkpoint.pt so that a reader sees the old or the new one, never half.

    Raises `ConfigError` if it cannot be written; the old one stays.
    """
    raw = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    raw["config"] = checkpoint.config.to_json()
    raw["spec"] = checkpoint.spec.to_json()
    path, new = run / NAME, run / (NAME + ".new")
    try:
        with new.open("wb") as file:
            torch.save(raw, file)
            file.flush()
            os.fsync(file.fileno())  # on the disk before it takes the old one's name
        new.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        new.unlink(missing_ok=True)  # a full disk gets its room back
        raise ConfigError(
            f"cannot write step {checkpoint.step} to {path} ({error}): make room; "
            f"{'the checkpoint before it is whole' if path.exists() else 'there is none before'}"
        ) from error
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint or the one in a run folder. Raises `ConfigError` if there is none."""
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"no checkpoint at {path}: give a run folder or a {NAME}")
    with torch.serialization.safe_globals([TorchVersion]):  # a str; nothing else is unpickled
        raw = torch.load(file, map_location="cpu", weights_only=True)
    config = ModelConfig.from_json(raw.pop("config"))
    return Checkpoint(config=config, spec=PolicySpec.from_json(raw.pop("spec")), **raw)


def build_policy(checkpoint: Checkpoint) -> FlowPolicy:
    """Make the network with the averaged weights, for evaluation."""
    model = FlowPolicy(checkpoint.config)
    model.load_state_dict(checkpoint.average)
    model.guiding = True
    return model.eval()


def stage(checkpoint: Checkpoint) -> dict[str, Any]:
    """Describe how a checkpoint came to be: data, command, steps, time, validation."""
    return {
        **checkpoint.provenance,
        "steps": checkpoint.step,
        "seconds": round(checkpoint.elapsed_s, 1),
        "parameters": sum(value.numel() for value in checkpoint.average.values()),
        "validation": checkpoint.validation,
    }


def machine() -> dict[str, Any]:
    """Describe this machine and the versions in use: processor, cores, torch, python."""
    return {**runtime_machine(), "torch": str(torch.__version__)}
