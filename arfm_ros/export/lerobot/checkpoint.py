"""Checkpoints of LeRobot's policies: what `save_pretrained` of policy and processors left."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import CameraInput, PolicySpec
from arfm_ros.export.lerobot.processors import (
    ACTION,
    STATE,
    Processors,
    read_processors,
)
from arfm_ros.export.lerobot.raw import Library, sample_flow
from arfm_ros.export.lerobot.steps import Order
from arfm_ros.export.lerobot.text import read_language
from arfm_ros.export.lerobot.versions import read_library_config
from arfm_ros.export.lerobot.weights import load_weights
from arfm_ros.export.vla.empty import without_weights
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, SplitNetwork, freeze

LIBRARY = "lerobot"
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
REFUSED = ("adapt_to_pi_aloha",)  # an adapter of PEFT (`use_peft`) is merged


@dataclass(frozen=True, slots=True)
class LeRobotFlow:
    """A flow of LeRobot that reads an instruction, as far as an export has to know it."""

    name: str  # `type` of config.json
    where: tuple[str, str]  # module and class of the policy
    split: Callable[[Any, tuple[int, int]], SplitNetwork]  # of the policy and its image size
    template: str  # text that is tokenized
    pad: str  # of pictures, as in `CameraInput`
    order: Order  # of the steps of its processors
    state_bins: int = 0  # as in `Language`
    needs: str = ""  # a module that older versions of the library do not have
    library: str = LIBRARY

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this config.json is one."""
        return config.get("type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open a checkpoint folder as policy `name` for `robot`."""
        policy_class, made_by = policy_class_of(self.name, self.where)
        config = read_config(folder, self.needs)
        processors = read_processors(folder, *feature_sizes(config, robot), self.order)
        spec = make_spec(config, processors, robot, self.pad)
        language, tokenizer = read_language(folder, processors.tokenizer, self.template)
        language = replace(language, state_bins=self.state_bins, flat=bool(self.state_bins))
        policy = open_policy(folder, config, policy_class)
        network: Any = self.split(policy, image_size(config))
        spec = replace(spec, name=name, language=language)
        features = {f"{IMAGES}{k.removeprefix(IMAGES)}": v for k, v in robot.cameras.items()}
        library = Library(policy, folder, features, sample_flow)
        return Opened(freeze(network), spec, tokenizer, made_by, library)


def policy_class_of(kind: str, where: tuple[str, str]) -> tuple[Any, str]:
    """Return a policy's class of LeRobot, and who made the network.

    The import also registers the policy's type, which reading its configuration needs.
    """
    try:
        import lerobot
    except ImportError as error:
        raise ConfigError(f"export of LeRobot's policies needs lerobot: {MISSING}") from error
    module, name = where
    made_by = f"{kind} of LeRobot {lerobot.__version__}"
    return getattr(importlib.import_module(module), name), made_by


def read_config(folder: Path, needs: str = "") -> Any:
    """Read config.json as the library's class, set for plain float32 on the CPU.

    `needs`: a module without which the policy does not run.
    """
    config = read_library_config(folder)
    for field, value in PLAIN.items():
        if hasattr(config, field):
            setattr(config, field, value)
    for field in REFUSED:
        if getattr(config, field, False):
            raise ConfigError(f"{folder}: policies with {field} are not exported")
    if needs and importlib.util.find_spec(needs) is None:
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
        CameraInput(camera, height, width, "linear", pad, exact=True)
        for camera in cameras_of(config, robot)
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


def open_policy(folder: Path, config: Any, policy_class: Any, runs: bool = False) -> Any:
    """Make the policy of `folder` for the CPU; its weights stay in their file.

    `runs`: its class runs the network when it is made, which takes weights of its own.
    """
    try:
        with nullcontext() if runs else without_weights():
            policy = policy_class(config)
    except (OSError, ValueError) as error:
        raise ConfigError(f"LeRobot cannot make the policy of {folder}: {error}") from error
    load_weights(policy, folder)
    return policy
