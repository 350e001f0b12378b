"""Checkpoints of LeRobot's policies: what `save_pretrained` of policy and processors left."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import CameraInput, PolicySpec
from arfm_ros.export.lerobot import pi0 as lerobot_pi0
from arfm_ros.export.lerobot import pi05 as lerobot_pi05
from arfm_ros.export.lerobot import smolvla as lerobot_smolvla
from arfm_ros.export.lerobot.decoders import DECODERS, split_decoder
from arfm_ros.export.lerobot.processors import (
    ACTION,
    STATE,
    Processors,
    read_json,
    read_processors,
)
from arfm_ros.export.lerobot.text import read_language
from arfm_ros.export.lerobot.weights import load_weights
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, freeze

IMAGES = "observation.images."
MISSING = (
    "run ./arfm export, which makes .venv-vla with it; or, without ./arfm, "
    "'python3 -m venv vla && vla/bin/pip install .[lerobot]', then vla/bin/arfm export"
)
# what only concerns training, or where the library's way cannot be traced
PLAIN = {
    "device": "cpu",
    "dtype": "float32",
    "load_vlm_weights": False,  # they are in the checkpoint
    "compile_model": False,
    "gradient_checkpointing": False,
    "rtc_config": None,
    "pretrained_backbone_weights": None,  # they are in the checkpoint
}
REFUSED = ("adapt_to_pi_aloha", "use_peft")

FAMILIES = {
    "pi0": lerobot_pi0.FAMILY,
    "pi05": lerobot_pi05.FAMILY,
    "smolvla": lerobot_smolvla.FAMILY,
}


def open_lerobot(folder: Path, robot: Interface, name: str) -> Opened:
    """Open a checkpoint folder as policy `name` for `robot`.

    Raises `ConfigError` saying what is missing in `folder`, on this machine, or does not fit.
    """
    kind = str(read_json(folder / "config.json").get("type"))
    if kind not in FAMILIES | DECODERS:
        known = ", ".join([*FAMILIES, *DECODERS])
        raise ConfigError(f"{folder} has policy type '{kind}', known are: {known}")
    try:
        import lerobot
    except ImportError as error:
        raise ConfigError(f"export of LeRobot's policies needs lerobot: {MISSING}") from error
    module, policy_name = (FAMILIES | DECODERS)[kind].where
    # the import also registers the policy's type, which reading its configuration needs
    policy_class = getattr(importlib.import_module(module), policy_name)
    made_by = f"{kind} of LeRobot {lerobot.__version__}"
    config = read_config(folder)
    sizes = feature_sizes(config, robot)
    if kind in DECODERS:
        policy = open_policy(folder, config, policy_class)
        split, spec = split_decoder(DECODERS[kind], policy, folder, robot, name)
        return Opened(freeze(split), spec, "", made_by)
    family = FAMILIES[kind]
    processors = read_processors(folder, *sizes)
    spec = make_spec(config, processors, robot, family.pad)
    language, tokenizer = read_language(folder, processors.tokenizer, family.template)
    language = replace(language, state_bins=family.state_bins, flat=bool(family.state_bins))
    policy = open_policy(folder, config, policy_class)
    network: Any = family.split(policy, image_size(config))
    spec = replace(spec, name=name, language=language)
    return Opened(freeze(network), spec, tokenizer, made_by)


def read_config(folder: Path) -> Any:
    """Read config.json as the library's class, set for plain float32 on the CPU."""
    from draccus.utils import DraccusException
    from lerobot.configs.policies import PreTrainedConfig

    try:
        config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, DraccusException) as error:
        raise ConfigError(f"LeRobot cannot read {folder / 'config.json'}: {error}") from error
    for field, value in PLAIN.items():
        if hasattr(config, field):
            setattr(config, field, value)
    for field in REFUSED:
        if getattr(config, field, False):
            raise ConfigError(f"{folder}: policies with {field} are not exported")
    needed = FAMILIES[config.type].needs if config.type in FAMILIES else ""
    if needed and importlib.util.find_spec(needed) is None:
        raise ConfigError(
            f"this LeRobot runs {config.type} only with transformers as changed for it, which no "
            "registry has: LeRobot 0.5 does without, and needs Python 3.12 or newer"
        )
    return config


def feature_sizes(config: Any, robot: Interface) -> tuple[int, int]:
    """Return the sizes of state and action. Raises `ConfigError` if the robot's are others."""
    sizes = []
    for features, key, names in (
        (config.input_features, STATE, robot.state_names),
        (config.output_features, ACTION, robot.actions),
    ):
        size = features[key].shape[0] if key in features else 0
        if size != len(names):
            raise ConfigError(
                f"the checkpoint's {key} has {size} numbers, the interface file {len(names)}: "
                f"{', '.join(names)}"
            )
        sizes.append(int(size))
    return sizes[0], sizes[1]


def make_spec(config: Any, processors: Processors, robot: Interface, pad: str) -> PolicySpec:
    """Make the specification without name and language; the statistics are the checkpoint's."""
    height, width = image_size(config)
    cameras = tuple(
        CameraInput(camera, height, width, "linear", pad) for camera in cameras_of(config, robot)
    )
    spec, action = robot.spec("", config.chunk_size, cameras), processors.action
    rows = (spec.horizon, 1)
    return replace(
        spec,
        state_norm=processors.state,
        action_norm=Affine(np.tile(action.offset, rows), np.tile(action.scale, rows)),
        relative=relative_of(processors, spec),
        steps=getattr(config, "num_inference_steps", None) or config.num_steps,
        flow_width=config.max_action_dim,
    )


def image_size(config: Any) -> tuple[int, int]:
    """Return height and width of what the network sees."""
    if hasattr(config, "image_resolution"):
        height, width = config.image_resolution
    elif config.resize_imgs_with_padding is not None:
        width, height = config.resize_imgs_with_padding
    else:
        raise ConfigError("resize_imgs_with_padding is null: images of any size are not exported")
    return int(height), int(width)


def cameras_of(config: Any, robot: Interface) -> list[str]:
    """List the robot's cameras in the order of the checkpoint's; those left out are not seen."""
    keys = {key.removeprefix(IMAGES): key for key in config.image_features}
    given = {key.removeprefix(IMAGES): camera for key, camera in robot.cameras.items()}
    unknown = [key for key in given if key not in keys]
    if unknown or not given:
        raise ConfigError(
            f"the interface file has cameras {', '.join(unknown) or 'none'}, the checkpoint "
            f"knows: {', '.join(keys)}"
        )
    return [given[key] for key in keys if key in given]


def relative_of(processors: Processors, spec: PolicySpec) -> tuple[bool, ...]:
    """Say which actions are offsets from the state: as trained, else as the interface says."""
    settings = processors.relative
    if not settings.get("enabled"):
        return spec.relative
    excluded = [str(name).lower() for name in settings.get("exclude_joints") or []]
    names = settings.get("action_names") or []
    if not names or not excluded:
        flags = [True] * len(spec.action)
    else:
        flags = [not any(word in str(name).lower() for word in excluded) for name in names]
    actions, states = spec.action_names, spec.state_names
    apart = [a for a, s, flag in zip(actions, states, flags) if flag and a != s]
    if len(flags) != len(actions) or apart:
        raise ConfigError(
            "the checkpoint's actions are offsets from the state of the same number: name state "
            f"and actions alike, here differ: {', '.join(apart) or names}"
        )
    return tuple(flags)


def open_policy(folder: Path, config: Any, policy_class: Any) -> Any:
    """Make the policy of `folder` with its weights, in float32 on the CPU."""
    try:
        policy = policy_class(config)
    except (OSError, ValueError) as error:
        raise ConfigError(f"LeRobot cannot make the policy of {folder}: {error}") from error
    load_weights(policy, folder)
    return policy
