"""Random changes of training images and states, drawn for a whole batch at once.

What is drawn for a sample depends on the batch's seed and the sample's place in it, not on who
computes it: any cut of the batch into shares sees the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32, U8


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes of the training images and states; 0 switches one off."""

    shift_px: int = 2  # more would contradict the geometry that the actions rely on
    brightness: float = 0.1
    contrast: float = 0.15
    colour: float = 0.05  # per channel
    state_noise_rad: float = 0.01  # keeps the policy looking at the images

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) >= 0:
                raise ConfigError(f"{one.name} {getattr(self, one.name)}: needs 0 or more")


class Changes(NamedTuple):
    """What happens to each of B samples; the dictionaries are keyed by camera."""

    shift: dict[str, NDArray[np.int64]]  # [B, 2], upper left corner in the padded image
    gain: dict[str, F32]  # [B, 3, 1, 1]
    offset: dict[str, F32]  # [B, 1, 1, 1]
    state: F32  # [B, A], added to the measured joints

    def map(self, cut: Callable[[Any], Any]) -> Changes:
        """Apply `cut` to every array."""
        cuts = ({name: cut(value) for name, value in one.items()} for one in self[:3])
        return Changes(*cuts, cut(self.state))


def draw_changes(
    config: AugmentConfig, shape: tuple[int, int], cameras: Sequence[str], rng: np.random.Generator
) -> Changes:
    """Draw the changes of a batch whose joints have `shape` [B, A]; each image has its own."""
    count = shape[0]

    def uniform(limit: float, channels: int) -> F32:
        return rng.uniform(-limit, limit, (count, channels, 1, 1)).astype(np.float32)

    high = 2 * config.shift_px + 1
    return Changes(
        shift={name: rng.integers(0, high, (count, 2)) for name in cameras},
        gain={n: 1 + uniform(config.contrast, 1) + uniform(config.colour, 3) for n in cameras},
        offset={name: uniform(config.brightness, 1) for name in cameras},
        state=rng.standard_normal(shape).astype(np.float32) * np.float32(config.state_noise_rad),
    )


def shift_images(images: U8, corners: NDArray[np.int64], limit: int) -> U8:
    """Shift each of images [B, H, W, 3] by corners [B, 2] - `limit` pixels, edges repeated."""
    if limit == 0:
        return images
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (limit, limit), (limit, limit), (0, 0)), mode="edge")
    out = np.empty_like(images)
    for i, (y, x) in enumerate(corners):
        out[i] = padded[i, y : y + height, x : x + width]
    return out


def recolour(images: Tensor, gain: F32, offset: F32) -> Tensor:
    """Scale and offset the colours of images [B, 3, H, W] in place."""
    return images.mul_(torch.from_numpy(gain)).add_(torch.from_numpy(offset))
