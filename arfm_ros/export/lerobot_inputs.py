"""How LeRobot's policies see: normalisation of a checkpoint's processors, pictures as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.data import F32
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.normalize import Affine
from arfm_ros.core.spec import CameraInput, Language, PolicySpec
from arfm_ros.export.interface import Interface

PREPROCESSOR = "policy_preprocessor.json"
STATE, ACTION = "observation.state", "action"
EPSILON = 1e-8  # of LeRobot's normaliser
BOUNDS = {
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What a checkpoint's processors normalise with."""

    modes: Mapping[str, str]  # STATE, ACTION, VISUAL -> LeRobot's name of the mode
    values: Mapping[str, Mapping[str, F32]]  # feature -> statistic -> values

    def affine(self, feature: str, kind: str) -> Affine:
        """Return the normalisation of a feature; nothing where the checkpoint has none.

        Raises `ConfigError` for a mode or a statistic that is not there.
        """
        mode, known = self.modes.get(kind, "IDENTITY"), self.values.get(feature)
        if mode == "IDENTITY" or known is None:
            return Affine(np.zeros(1, np.float32), np.ones(1, np.float32))
        names = BOUNDS.get(mode, ("mean", "std"))
        missing = [name for name in names if name not in known]
        if mode not in {*BOUNDS, "MEAN_STD"} or missing:
            raise ConfigError(
                f"{feature} is normalised by {mode}, the checkpoint has {', '.join(known)}"
            )
        return _affine(mode, known[names[0]], known[names[1]], kind == "ACTION")


def _affine(mode: str, low: F32, high: F32, inverse: bool) -> Affine:
    """Say LeRobot's formulas as an offset and a scale; `inverse` is what only comes back.

    An axis that never moved goes to -1 there, or comes back as what it was, whatever it is.
    """
    if mode == "MEAN_STD":
        return Affine(low, np.maximum(high, EPSILON) if inverse else high + np.float32(EPSILON))
    half, still = (high - low) / 2, high == low
    offset = np.where(still, low if inverse else low + 1, (high + low) / 2)
    scale = np.where(still, EPSILON if inverse else 1, half)
    return Affine(offset.astype(np.float32), scale.astype(np.float32))


def read_statistics(folder: Path) -> Statistics:
    """Read the normaliser of a checkpoint. Raises `ConfigError` where `folder` has none."""
    from lerobot.processor import NormalizerProcessorStep, PolicyProcessorPipeline

    if not (folder / PREPROCESSOR).is_file():
        raise ConfigError(
            f"{folder} has no {PREPROCESSOR}: bring an older checkpoint up to date with "
            "lerobot.processor.migrate_policy_normalization"
        )
    cpu = {"device_processor": {"device": "cpu"}}
    pipeline = PolicyProcessorPipeline.from_pretrained(
        folder, config_filename=PREPROCESSOR, overrides=cpu
    )
    steps = [step for step in pipeline.steps if isinstance(step, NormalizerProcessorStep)]
    if not steps:
        raise ConfigError(f"{folder / PREPROCESSOR} has no normalizer_processor")
    values: dict[str, dict[str, F32]] = {}
    for name, value in steps[0].state_dict().items():
        feature, _, statistic = name.rpartition(".")
        values.setdefault(feature, {})[statistic] = value.numpy().astype(np.float32)
    return Statistics({k.value: mode.value for k, mode in steps[0].norm_map.items()}, values)


def make_spec(
    config: Any, known: Statistics, robot: Interface, name: str, horizon: int
) -> PolicySpec:
    """Make the specification of a policy without language whose chunks have `horizon` actions.

    Raises `ConfigError` naming what the checkpoint and the interface file do not agree on.
    """
    if config.env_state_feature is not None or config.robot_state_feature is None:
        raise ConfigError("only policies that take images and observation.state can run")
    cameras = tuple(
        CameraInput(camera_of(feature, robot), *picture.shape[1:])
        for feature, picture in config.image_features.items()
    )
    names = [camera.name for camera in cameras]
    if len(set(names)) < len(names):
        raise ConfigError(f"the interface file gives a camera twice: {', '.join(names)}")
    spec = robot.spec(name, horizon, cameras)
    _check_size("state", config.robot_state_feature.shape, spec.state_names)
    _check_size("actions", config.action_feature.shape, spec.action_names)
    state, action = known.affine(STATE, "STATE"), known.affine(ACTION, "ACTION")
    return replace(
        spec,
        state_norm=_spread(state, (len(spec.state),)),
        action_norm=_spread(action, spec.action_shape),
        language=Language("none"),
    )


def _check_size(what: str, shape: Sequence[int], names: Sequence[str]) -> None:
    if tuple(shape) != (len(names),):
        raise ConfigError(
            f"the checkpoint has {math.prod(shape)} {what}, the interface file {len(names)}: "
            f"{', '.join(names)}"
        )


def _spread(affine: Affine, shape: tuple[int, ...]) -> Affine:
    offset, scale = (np.broadcast_to(x, shape).copy() for x in (affine.offset, affine.scale))
    return Affine(offset, scale)


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
