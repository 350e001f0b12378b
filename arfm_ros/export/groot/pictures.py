"""How GR00T N1.7's processors cut and resize a picture, as operators of a graph.

The libraries resize bytes in whole numbers; so do these, and give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import CameraInput
from arfm_ros.engines.resample import side_weights

Size = tuple[int, int]  # height, width
Whole = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the step that encodes says of pictures, and the image processor's patches."""

    target: Size
    crop: float  # share of each side that is left; 1: all
    edge: int  # of the shortest side, before the crop
    area: bool  # cv2's INTER_AREA keeps proportions; else all is stretched by torch's bicubic
    factor: int  # sides of what the network sees are multiples of this
    pixels: tuple[int, int]  # the least and the most that it sees

    def first(self, size: Size) -> Size:
        """Return what a camera's picture of this size is resized to at first."""
        return _shortest(size, self.edge) if self.area else (self.edge, self.edge)

    def camera(self, name: str, size: Size) -> CameraInput:
        """Make the input of a camera whose pictures had this size in training."""
        return CameraInput(name, *self.first(size), "area" if self.area else "bicubic")

    def stages(self, size: Size) -> list[Stage]:
        """List what is done after the first resizing to a picture of this size."""
        first = self.first(size)
        rounded = math.floor if self.area else round
        height, width = (max(1, int(rounded(side * self.crop))) for side in first)
        made = [Stage((height, width), None, _middle(first, (height, width)))]
        again = _shortest((height, width), self.edge) if self.area else self.target
        made.append(Stage(again, "area" if self.area else "bicubic"))
        made.append(Stage(self._patched(again), "bicubic"))
        return made

    def _patched(self, size: Size) -> Size:
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        found = smart_resize(*size, self.factor, *self.pixels)
        return int(found[0]), int(found[1])


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that is done to a picture."""

    after: Size
    kind: str | None  # "area" or "bicubic"; None: it is cut out
    corner: Size = (0, 0)


def read_geometry(step: Mapping[str, Any], processor: Any) -> Geometry:
    """Read the settings of the step that encodes, and its image processor.

    Raises `ConfigError` for what is not exported.
    """
    target = step.get("image_target_size")
    if target is None:
        raise ConfigError("GR00T without image_target_size, so of any size, is not exported")
    height, width = map(int, target)
    crop, pixels = step.get("crop_fraction"), step.get("image_crop_size")
    if crop is None and pixels is not None:
        crop = pixels[0] / float(height)
    inside = crop is not None and 0.0 < crop < 1.0
    plain = {name: getattr(processor, name) for name in ("do_resize", "do_rescale")}
    plain["do_normalize"] = processor.do_normalize
    off = [name for name, on in plain.items() if not on]
    if off:
        raise ConfigError(f"an image processor with {off[0]} = False is not exported")
    size = processor.size
    return Geometry(
        target=(height, width),
        crop=float(crop) if inside else 1.0,
        edge=int(step.get("shortest_image_edge") or height),
        area=bool(step.get("use_albumentations")),
        factor=int(processor.patch_size * processor.merge_size),
        pixels=(int(size["shortest_edge"]), int(size["longest_edge"])),
    )


def _shortest(size: Size, edge: int) -> Size:
    """Resize so that the shortest side is `edge`; proportions are kept."""
    least = min(size)
    if least == edge:
        return size
    height, width = (max(1, round(side * (edge / float(least)))) for side in size)
    return height, width


def _middle(whole: Size, part: Size) -> Size:
    top, left = (max(0, (a - b) // 2) for a, b in zip(whole, part))
    return top, left


class Fitted(nn.Module):
    """The stages of a picture of one size, to the bit what the library computes."""

    def __init__(self, stages: list[Stage]) -> None:
        super().__init__()
        self.cut, size = stages[0], stages[0].after
        resized = list[nn.Module]()
        for stage in stages[1:]:
            if stage.after != size:
                resized.append(_RESIZED[str(stage.kind)](size, stage.after))
            size = stage.after
        self.resized, self.size = nn.Sequential(*resized), size

    def forward(self, picture: Tensor) -> Tensor:
        """Map a camera's bytes [1, H, W, 3] to grey levels [3, h, w]."""
        (top, left), (height, width) = self.cut.corner, self.cut.after
        x = picture[0, top : top + height, left : left + width].permute(2, 0, 1)
        return self.resized(x.float())  # type: ignore[no-any-return]


class Bicubic(nn.Module):
    """torch's resizing of bytes, antialiased, as the engine does it to a camera's picture."""

    def __init__(self, before: Size, after: Size) -> None:
        super().__init__()
        self.axes = [axis for axis in (1, 0) if before[axis] != after[axis]]
        for axis in self.axes:
            weights, one = side_weights(before[axis], after[axis], "bicubic")
            self.register_buffer(f"weights_{axis}", torch.tensor(weights), persistent=False)
            self.register_buffer(f"one_{axis}", torch.tensor(one), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map grey levels [3, H, W] to [3, h, w]."""
        for axis in self.axes:
            weights, one = getattr(self, f"weights_{axis}"), getattr(self, f"one_{axis}")
            x = x @ weights.T if axis else weights @ x
            x = torch.floor((x + one / 2) / one).clamp(0, 255)
        return x


class Area(nn.Module):
    """cv2's INTER_AREA of bytes where it makes them larger: two neighbours, in whole numbers."""

    def __init__(self, before: Size, after: Size) -> None:
        super().__init__()
        for axis, side in enumerate(("down", "across")):
            if after[axis] < before[axis]:
                raise ConfigError(f"a picture cut to {before} is shrunk again: not exported")
            for name, value in zip(("near", "far", "a", "b"), _taps(before[axis], after[axis])):
                self.register_buffer(f"{name}_{side}", torch.from_numpy(value), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map grey levels [3, H, W] to [3, h, w]."""
        x = x.int()
        x = x[:, :, self.near_across] * self.a_across + x[:, :, self.far_across] * self.b_across
        x = x // 16
        near = x[:, self.near_down] * self.a_down[:, None] // 2**16
        far = x[:, self.far_down] * self.b_down[:, None] // 2**16
        return ((near + far + 2) // 4).float()


def _taps(before: int, after: int) -> tuple[Whole, Whole, Whole, Whole]:
    """Return the two neighbours of each of `after` pixels, and their weights of 2048."""
    at = np.arange(after)
    near = np.floor(at * (before / after)).astype(np.int64)
    share = ((at + 1) - (near + 1) * (after / before)).astype(np.float32)
    share = np.where(share <= 0, 0, share - np.floor(share))
    last = near >= before - 1
    near, share = np.where(last, before - 1, near), np.where(last, np.float32(0), share)
    weights = [np.rint(one * 2048).astype(np.int32) for one in (1 - share, share)]
    return near, np.minimum(near + 1, before - 1), weights[0], weights[1]


_RESIZED: Mapping[str, type[nn.Module]] = {"area": Area, "bicubic": Bicubic}
