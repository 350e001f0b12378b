"""Camera images in the size that a policy was trained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.values.data import F32, U8
from arfm_ros.core.values.spec import CameraInput

F64 = NDArray[np.float64]
CUBIC = -0.5  # the parameter a of Keys (1981), as Pillow and torch take it when they shrink
WEIGHT_BITS = 22  # at most, of torch's 16-bit weights


def fit_image(image: U8, camera: CameraInput) -> U8 | F32:
    """Resize an image [H, W, 3] to the policy's size, as its training did.

    Grey levels 0..255: whole ones, or float32 between them where the camera is `exact`.
    """
    height, width = camera.height, camera.width
    if camera.exact:
        image = image.astype(np.float32)
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    rows, columns = inner_size(image.shape[0], image.shape[1], camera)
    small = _resize(image, (rows, columns), camera.filter)
    if (rows, columns) == (height, width):
        return small
    top, left = _corner(camera, rows, columns)
    whole = np.zeros((height, width, 3), small.dtype)
    whole[top : top + rows, left : left + columns] = small
    return whole


def inside(height: int, width: int, camera: CameraInput) -> NDArray[np.bool_]:
    """Tell where in the policy's image [H, W] the picture of a height x width camera lies."""
    rows, columns = inner_size(height, width, camera)
    top, left = _corner(camera, rows, columns)
    mask = np.zeros((camera.height, camera.width), np.bool_)
    mask[top : top + rows, left : left + columns] = True
    return mask


def inner_size(height: int, width: int, camera: CameraInput) -> tuple[int, int]:
    """Give rows and columns that the picture of a height x width camera takes up."""
    if camera.pad == "none":
        return camera.height, camera.width
    shrink = max(height / camera.height, width / camera.width)
    if camera.pad == "end":  # transformers multiplies; 720 rows become 125 of 224, not 126
        scale = min(camera.height / height, camera.width / width)
        return max(1, int(height * scale)), max(1, int(width * scale))
    return max(1, int(height / shrink)), max(1, int(width / shrink))


def _corner(camera: CameraInput, rows: int, columns: int) -> tuple[int, int]:
    part = {"centre": 0.5, "start": 1.0}.get(camera.pad, 0.0)
    return int(part * (camera.height - rows)), int(part * (camera.width - columns))


def _resize(image: U8 | F32, size: tuple[int, int], kind: str) -> U8 | F32:
    rows, columns = size
    if kind in {"area", "linear"}:
        flag = cv2.INTER_AREA if kind == "area" else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (columns, rows), interpolation=flag), image.dtype)
    planes = image.transpose(2, 0, 1).astype(np.float32)
    for axis, after in ((1, columns), (0, rows)):  # along rows first, as the libraries do
        before = planes.shape[1 + axis]
        if before != after:
            weights, one = side_weights(before, after, kind)
            planes = planes @ weights.T if axis else weights @ planes
            planes = np.clip(np.floor((planes + one / 2) / one), 0, 255)
    return np.ascontiguousarray(planes.astype(np.uint8).transpose(1, 2, 0))


@lru_cache(maxsize=32)
def side_weights(before: int, after: int, kind: str) -> tuple[F32, np.float32]:
    """Matrix [after, before] that resamples a side, and what a weight of 1 is in it.

    A filter as wide as the pixels it merges; grey levels are rounded after each side. Those of
    "bicubic" are torch's 16-bit numbers: all sums stay below 2^24, so that float32 has them whole,
    and bytes come out as torch makes them.
    """
    kernel = _KERNELS[kind]
    scale = before / after
    centre = (np.arange(after)[:, None] + 0.5) * scale
    weights = kernel((np.arange(before) + 0.5 - centre) / max(scale, 1.0))
    weights = weights / weights.sum(axis=1, keepdims=True)
    if kind != "bicubic":
        return np.asarray(weights, dtype=np.float32), np.float32(1)
    bits, most = 0, weights.max()
    while bits < WEIGHT_BITS and int(0.5 + most * 2 ** (bits + 1)) < 2**15:
        bits += 1
    whole = np.trunc(weights * 2**bits + np.where(weights < 0, -0.5, 0.5))
    return np.asarray(whole, dtype=np.float32), np.float32(2**bits)


def _triangle(x: F64) -> F64:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: F64) -> F64:
    x = np.abs(x)
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * CUBIC
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


_KERNELS: dict[str, Callable[[F64], F64]] = {"bilinear": _triangle, "bicubic": _cubic}
