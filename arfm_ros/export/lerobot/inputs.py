"""How LeRobot's policies without language see: the specification, pictures as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import CameraInput, Language, PolicySpec
from arfm_ros.export.lerobot.processors import (
    ACTION,
    STATE,
    affine_of,
    read_pipelines,
)
from arfm_ros.export.lerobot.steps import NORMALIZER, UNNORMALIZER, Order
from arfm_ros.export.vla.interface import Interface

CHANNELS = 3
ALONE = Order()  # nothing but the normaliser before the policy


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What a checkpoint's processors normalise with."""

    state: Affine  # [S]
    action: Affine  # [A]
    pictures: dict[str, Affine]  # feature -> [3]


def read_statistics(folder: Path, config: Any, order: Order = ALONE) -> Statistics:
    """Read what is normalised. Raises `ConfigError` for what is missing, or a step not known."""
    before, after = read_pipelines(folder, order)
    step = before[NORMALIZER]
    size, actions = config.robot_state_feature.shape[0], config.action_feature.shape[0]
    return Statistics(
        affine_of(folder, step, (STATE, "STATE"), size),
        affine_of(folder, after[UNNORMALIZER], (ACTION, "ACTION"), actions),
        {n: affine_of(folder, step, (n, "VISUAL"), CHANNELS) for n in config.image_features},
    )


def make_spec(
    config: Any, known: Statistics, robot: Interface, name: str, horizon: int
) -> PolicySpec:
    """Make the specification of a policy without language whose chunks have `horizon` actions.

    Raises `ConfigError` naming what the checkpoint and the interface file do not agree on.
    """
    cameras = tuple(
        CameraInput(camera_of(feature, robot), *picture.shape[1:])
        for feature, picture in config.image_features.items()
    )
    names = [camera.name for camera in cameras]
    if len(set(names)) < len(names):
        raise ConfigError(f"the interface file gives a camera twice: {', '.join(names)}")
    spec, action = robot.spec(name, horizon, cameras), known.action
    rows = (horizon, 1)
    return replace(
        spec,
        state_norm=known.state,
        action_norm=Affine(np.tile(action.offset, rows), np.tile(action.scale, rows)),
        language=Language("none"),
    )


def check_inputs(config: Any) -> None:
    """Raise `ConfigError` unless a policy takes images and the robot's state, and no more."""
    if config.env_state_feature or not (config.robot_state_feature and config.image_features):
        have = ", ".join(config.input_features)
        raise ConfigError(f"the policy takes {have}; exported are images and {STATE}, no others")


def camera_of(feature: str, robot: Interface) -> str:
    """Return the robot's camera for a feature like observation.images.top, or just top."""
    for known in (feature, feature.rpartition(".")[2]):
        if known in robot.cameras:
            return robot.cameras[known]
    raise ConfigError(
        f"the checkpoint sees {feature}, the interface file has cameras: "
        f"{', '.join(robot.cameras) or 'none'}"
    )


class Pictures(nn.Module):
    """A camera's bytes as the network was trained on them."""

    def __init__(self, affine: Affine) -> None:
        super().__init__()
        shape = (-1, 1, 1)
        self.register_buffer("offset", torch.from_numpy(affine.offset.reshape(shape)), False)
        self.register_buffer("scale", torch.from_numpy(affine.scale.reshape(shape)), False)

    def forward(self, image: Tensor) -> Tensor:
        """Map uint8 [..., H, W, 3] to float32 [..., 3, H, W], normalised."""
        return (image.movedim(-1, -3).float() / 255.0 - self.offset) / self.scale


def to_pixels(image: Tensor) -> Tensor:
    """Map uint8 [1, H, W, 3] to float [1, 3, H, W] from -1 to 1, as the policies do."""
    return image.permute(0, 3, 1, 2).float() / 255.0 * 2.0 - 1.0
