"""One of LeRobot's families of policies, as far as an export has to know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from arfm_ros.export.vla.network import SplitNetwork


@dataclass(frozen=True, slots=True)
class Family:
    """A policy type of LeRobot's config.json."""

    where: tuple[str, str]  # module and class of the policy
    split: Callable[[Any, tuple[int, int]], SplitNetwork]  # of the policy and its image size
    template: str  # text that is tokenized
    pad: str  # of pictures, as in `CameraInput`
    state_bins: int = 0  # as in `Language`
    needs: str = ""  # a module that older versions of the library do not have


def to_pixels(image: Tensor) -> Tensor:
    """Map uint8 [1, H, W, 3] to float [1, 3, H, W] from -1 to 1, as the policies do."""
    return image.permute(0, 3, 1, 2).float() / 255.0 * 2.0 - 1.0
