"""pi0 and pi0.5 in openpi's own PyTorch files, run by LeRobot's port of the network.

What openpi does around the network: `transforms.py`, `models/tokenizer.py`,
`policies/policy_config.py`, `training/config.py` (ModelTransformFactory) of its repository.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import CameraInput, Language, PolicySpec
from arfm_ros.export.lerobot.checkpoint import policy_class_of
from arfm_ros.export.openpi import files, weights
from arfm_ros.export.openpi.settings import Settings, read_settings
from arfm_ros.export.openpi.text import BEGIN, read_tokenizer
from arfm_ros.export.vla.empty import without_weights
from arfm_ros.export.vla.interface import Interface
from arfm_ros.export.vla.network import Opened, SplitNetwork, freeze

LIBRARY = "openpi"
CAMERAS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
VARIANTS = {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"}
TOWER = "paligemma_with_expert.paligemma.model.vision_tower.vision_model.embeddings."
PLAIN, SPOKEN = "{instruction}\n", "Task: {instruction}, State: {state};\nAction: "
BINS, ALOHA = 256, "trossen"
Split = Callable[[Any, tuple[int, int]], SplitNetwork]


@dataclass(frozen=True, slots=True)
class OpenPiFlow:
    """A flow of openpi, as far as an export has to know it."""

    name: str  # pi0 or pi05
    config: tuple[str, str]  # module and class of the port's configuration
    network: tuple[str, str]  # module and class of the port's network
    split: Split  # of the port and the size of an image
    silent: Split  # the same, of a network whose text does not tell the state
    quantiles: bool  # what it normalises by
    length: int  # tokens of a text
    library: str = LIBRARY

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint with this configuration is one."""
        return config.get("model_type") == self.name

    def open(self, folder: Path, robot: Interface, name: str) -> Opened:
        """Open a checkpoint folder as policy `name` for `robot`."""
        settings, config = read_settings(robot.extra), files.read_config(folder)
        cameras, shapes = _cameras(robot), files.shapes_of(folder)
        horizon = _horizon(folder, config, settings)
        spoken = self.quantiles and settings.discrete_state_input
        content, vocabulary = read_tokenizer(folder, settings.tokenizer, _rows(shapes))
        size = _image_size(shapes)
        network, made_by = policy_class_of(self.name, self.network)
        spec = robot.spec(name, horizon, tuple(_camera(one, size) for one in cameras))
        spec = self._normalised(_same_places(spec), folder, settings)
        width = int(config.get("action_dim") or shapes.get("action_in_proj.weight", (0, 32))[1])
        with without_weights():
            core = network(self._config(width, horizon, size))
        weights.load(core, folder)
        split = self.split if spoken or not self.quantiles else self.silent
        language = Language(
            "tokenizer",
            settings.length or self.length,
            vocabulary,
            BEGIN + (SPOKEN if spoken else PLAIN),
            flat=True,
            state_bins=BINS if spoken else 0,
        )
        spec = replace(spec, steps=settings.steps, language=language)
        spec = replace(spec, flow_width=core.config.max_action_dim)
        port: Any = SimpleNamespace(model=core, config=core.config)
        made_by = made_by.replace(" of ", " of openpi, run by ", 1)
        opened: Any = split(port, (size, size))
        return Opened(freeze(opened), spec, content, made_by)

    def _normalised(self, spec: PolicySpec, folder: Path, settings: Settings) -> PolicySpec:
        asset, known = files.read_statistics(folder, settings.asset)
        if asset == ALOHA and settings.adapt_to_pi:
            raise ConfigError(
                f"{folder} has the statistics of {ALOHA}, an ALOHA, whose training turns joints "
                "and bends the gripper's scale by default (adapt_to_pi), which is not exported: "
                "serve it, remote:ws://HOST:8000; or, of a training without it, say "
                "extra: {adapt_to_pi: false}"
            )
        state = files.affine_of(known, "state", len(spec.state), self.quantiles)
        action = files.affine_of(known, "actions", len(spec.action), self.quantiles)
        rows = (spec.horizon, 1)
        chunk = Affine(np.tile(action.offset, rows), np.tile(action.scale, rows))
        return replace(spec, state_norm=state, action_norm=chunk)

    def _config(self, width: int, horizon: int, size: int) -> Any:
        module, name = self.config
        return getattr(importlib.import_module(module), name)(
            max_state_dim=width,
            max_action_dim=width,
            chunk_size=horizon,
            n_action_steps=horizon,
            image_resolution=(size, size),
            dtype="float32",
            device="cpu",
        )


def _horizon(folder: Path, config: Mapping[str, Any], settings: Settings) -> int:
    """Return how long a chunk is. Raises `ConfigError` for sizes that are not exported."""
    for name, value in VARIANTS.items():
        if config.get(name, value) != value:
            raise ConfigError(
                f"{folder}: {name} is {config[name]}, exported is {value}; a LoRA has to be "
                "merged into it"
            )
    horizon = settings.horizon or config.get("action_horizon")
    if not horizon:
        raise ConfigError(
            f"{folder} has no config.json with action_horizon: say in the interface file what the "
            "training's model had, extra: {horizon: N}"
        )
    return int(horizon)


def _cameras(robot: Interface) -> list[str]:
    """List the robot's cameras in the network's order; those left out are not seen."""
    unknown = [key for key in robot.cameras if key not in CAMERAS]
    if unknown or not robot.cameras:
        raise ConfigError(
            f"the interface file has cameras {', '.join(unknown) or 'none'}, openpi's network "
            f"knows {', '.join(CAMERAS)}"
        )
    return [robot.cameras[key] for key in CAMERAS if key in robot.cameras]


def _camera(name: str, size: int) -> CameraInput:
    """Resize as openpi's clients do, by Pillow (`image_tools.resize_with_pad`)."""
    return CameraInput(name, size, size, "bilinear", "centre")


def _same_places(spec: PolicySpec) -> PolicySpec:
    """Raise `ConfigError` for offsets whose state has another number: openpi adds by number."""
    pairs = enumerate(zip(spec.action_names, spec.relative))
    states = spec.state_names
    apart = [a for i, (a, relative) in pairs if relative and states[i : i + 1] != (a,)]
    if apart:
        raise ConfigError(
            f"openpi's offsets are from the state of the same number: {', '.join(apart)} have "
            "another place in the state"
        )
    return spec


def _rows(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many words the network knows."""
    ends = (weights.TABLE, weights.HEAD)
    return max((s[0] for n, s in shapes.items() if n.endswith(ends)), default=0)


def _image_size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the side of an image: 224 for 16 x 16 patches of 14."""
    found = {n.rpartition("embeddings.")[2]: s for n, s in shapes.items() if TOWER in n}
    places, patch = found.get("position_embedding.weight"), found.get("patch_embedding.weight")
    return math.isqrt(places[0]) * patch[-1] if places and patch else 224
