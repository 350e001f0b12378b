"""Checkpoints of LeRobot's policies that are no flow: ACT and Diffusion Policy."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.spec import PolicySpec
from arfm_ros.engines.replay import Parity
from arfm_ros.export import lerobot_act, lerobot_diffusion
from arfm_ros.export.decoder import write_network
from arfm_ros.export.interface import Interface
from arfm_ros.export.lerobot_inputs import Statistics, read_statistics

WEIGHTS = "model.safetensors"
SHOWN = 4  # weights that an error names
# what only concerns training, or cannot be traced
PLAIN = {"device": "cpu", "pretrained_backbone_weights": None, "compile_model": False}


@dataclass(frozen=True, slots=True)
class Family:
    """What has to be known of a type of policy."""

    where: tuple[str, str]  # module and class
    split: Callable[[Any, Statistics], nn.Module]
    describe: Callable[[Any, Statistics, Interface, str], PolicySpec]


FAMILIES = {
    "act": Family(
        ("lerobot.policies.act.modeling_act", "ACTPolicy"),
        lerobot_act.LeRobotAct,
        lerobot_act.describe,
    ),
    "diffusion": Family(
        ("lerobot.policies.diffusion.modeling_diffusion", "DiffusionPolicy"),
        lerobot_diffusion.LeRobotDiffusion,
        lerobot_diffusion.describe,
    ),
}


def export_decoder(kind: str, folder: Path, robot: Interface, out: Path, name: str) -> Parity:
    """Export the checkpoint of type `kind`, one of `FAMILIES`, as bundle `name` to `out`.

    Parity is against the library's own sampler, from the same noise. Raises `BundleError` if the
    graphs differ from it, `ConfigError` for what is missing in `folder` or does not fit.
    """
    import lerobot

    family = FAMILIES[kind]
    policy = open_policy(folder, family)
    known = read_statistics(folder)
    spec = family.describe(policy, known, robot, name)
    made_by = f"{kind} of LeRobot {lerobot.__version__}"
    return write_network(family.split(policy, known), spec, out, {"network": made_by})


def open_policy(folder: Path, family: Family) -> Any:
    """Make the policy of a checkpoint, in float32 on the CPU. Raises `ConfigError`."""
    from draccus.utils import DraccusException
    from lerobot.configs.policies import PreTrainedConfig

    policy_class = getattr(importlib.import_module(family.where[0]), family.where[1])
    try:
        config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
        for field, value in PLAIN.items():
            if hasattr(config, field):
                setattr(config, field, value)
        policy = policy_class(config)
    except (OSError, ValueError, TypeError, DraccusException) as error:
        raise ConfigError(f"LeRobot cannot read {folder / 'config.json'}: {error}") from error
    _load_weights(policy, folder / WEIGHTS)
    for parameter in policy.parameters():
        parameter.requires_grad_(False)
    return policy.float().eval()


def _load_weights(policy: nn.Module, path: Path) -> None:
    """Load all weights; the library would go on with random ones in place of what is missing."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read the weights in {path}: {error}") from error
    wanted = policy.state_dict()
    missing = [name for name in wanted if name not in state]
    if missing:
        raise ConfigError(f"{path} lacks {len(missing)} weights: {', '.join(missing[:SHOWN])}")
    wrong = [
        f"{name} is {list(state[name].shape)}, needs {list(value.shape)}"
        for name, value in wanted.items()
        if state[name].shape != value.shape
    ]
    if wrong:
        raise ConfigError(f"{path} has weights of another shape: {'; '.join(wrong[:SHOWN])}")
    with torch.no_grad():
        policy.load_state_dict(state, strict=False)
