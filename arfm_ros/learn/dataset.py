"""Batches for training: normalised, augmented, and a function of (seed, step) alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.control import fr3
from arfm_ros.core.data import F32, U8
from arfm_ros.core.normalize import Affine, fit_affine
from arfm_ros.core.spec import Axis, CameraInput, Language, PolicySpec
from arfm_ros.learn.frames import Frames, FramesConfig
from arfm_ros.learn.model import to_float


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Random changes of the training images and states; 0 switches one off."""

    shift_px: int = 2  # more would contradict the geometry that the actions rely on
    brightness: float = 0.1
    contrast: float = 0.15
    colour: float = 0.05  # per channel
    state_noise_rad: float = 0.01  # keeps the policy looking at the images


class Batch(NamedTuple):
    """Tensors of B observations."""

    images: dict[str, Tensor]  # [B, 3, H, W] in about -1..1
    state: Tensor  # [B, S] normalised
    tokens: Tensor  # [B, L]
    actions: Tensor  # [B, H, A] normalised
    keyframe: Tensor  # [B, A] normalised
    signal: Tensor  # [B], R*; 0 where no objective asked for it


def fit_spec(frames: Frames, config: FramesConfig, rows: NDArray[np.int64]) -> PolicySpec:
    """Make the policy's specification with normalisation fitted to `rows` of `frames`.

    Joint actions are relative to the measured state, the gripper's is absolute; statistics are
    per step of the chunk and per action.
    """
    low = (*fr3.POSITION_MIN_RAD, 0.0)
    high = (*fr3.POSITION_MAX_RAD, 1.0)
    axes = tuple(
        Axis(name, "1" if name == fr3.GRIPPER_NAME else "rad", a, b)
        for name, a, b in zip(config.names, low, high)
    )
    relative = tuple(name != fr3.GRIPPER_NAME for name in config.names)
    reference = np.where(relative, frames.state[rows], 0).astype(np.float32)
    by_task = dict(zip(frames.tasks, frames.instructions))
    return PolicySpec(
        name="untitled",
        cameras=tuple(CameraInput(n, h, w) for n, h, w in config.cameras),
        state=axes,
        action=axes,
        horizon=config.horizon,
        dt_ns=config.dt_ns,
        state_norm=fit_affine(frames.state[rows], floor=0.02),
        action_norm=fit_affine(frames.chunk[rows] - reference[:, None], floor=0.01),
        relative=relative,
        language=Language("hashed_words", config.tokens, config.vocabulary),
        instructions=by_task,
    )


def split_episodes(frames: Frames, fraction: float, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Split the rows into training and held-out ones by whole episodes, at least one of each."""
    count = len(frames.instructions)
    order = np.random.default_rng(seed).permutation(count)
    held = order[: max(1, round(fraction * count))] if count > 1 else order[:0]
    is_held = np.isin(frames.episode, held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """Makes batches of `frames`; the same seed and step give the same batch on every start."""

    frames: Frames
    rows: NDArray[np.int64]
    spec: PolicySpec
    keyframe_norm: Affine
    augment: AugmentConfig
    seed: int = 0
    signal: NDArray[np.float64] | None = None  # [N], R* of every observation of `frames`

    def batch(self, step: int, size: int) -> Batch:
        """Make the training batch of `step`: shuffled epochs, augmented."""
        size = min(size, len(self.rows))
        epoch, place = divmod(step, len(self.rows) // size)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        rows = self.rows[order[place * size : (place + 1) * size]]
        return self.gather(np.sort(rows), np.random.default_rng((self.seed, 1 << 20, step)))

    def gather(self, rows: NDArray[np.int64], rng: np.random.Generator | None = None) -> Batch:
        """Collect `rows`, augmented if `rng` is given."""
        frames, spec, signal = self.frames, self.spec, self.signal
        state = frames.state[rows]
        reference = np.where(spec.relative, state, 0).astype(np.float32)[:, None]
        actions = spec.action_norm.normalise(frames.chunk[rows] - reference)
        images = {name: pixels[rows] for name, pixels in frames.images.items()}
        if rng is not None:
            images = {n: shift_images(x, self.augment.shift_px, rng) for n, x in images.items()}
            noise = rng.standard_normal(state.shape).astype(np.float32)
            state = state + noise * np.float32(self.augment.state_noise_rad)
        tensors = {name: to_float(torch.from_numpy(x)) for name, x in images.items()}
        if rng is not None:
            tensors = {n: jitter_colours(x, self.augment, rng) for n, x in tensors.items()}
        return Batch(
            images=tensors,
            state=torch.from_numpy(spec.state_norm.normalise(state)),
            tokens=torch.from_numpy(frames.tokens[frames.episode[rows]]),
            actions=torch.from_numpy(actions),
            keyframe=torch.from_numpy(self.keyframe_norm.normalise(frames.keyframe[rows])),
            signal=torch.from_numpy(np.zeros(len(rows)) if signal is None else signal[rows]),
        )


def make_sampler(
    frames: Frames,
    rows: NDArray[np.int64],
    spec: PolicySpec,
    augment: AugmentConfig,
    seed: int,
) -> Sampler:
    """Make a sampler over `rows`, its keyframe statistics from the same rows."""
    norm = fit_affine(frames.keyframe[rows], floor=0.02)
    return Sampler(frames, rows, spec, norm, augment, seed)


def rows_of(sampler: Sampler, rows: NDArray[np.int64]) -> Sampler:
    """Make the same sampler over other rows."""
    return replace(sampler, rows=rows)


def shift_images(images: U8, limit: int, rng: np.random.Generator) -> U8:
    """Shift each of images [B, H, W, 3] by up to `limit` pixels, edges repeated."""
    if limit == 0:
        return images
    batch, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (limit, limit), (limit, limit), (0, 0)), mode="edge")
    out = np.empty_like(images)
    for i, (y, x) in enumerate(rng.integers(0, 2 * limit + 1, (batch, 2))):
        out[i] = padded[i, y : y + height, x : x + width]
    return out


def jitter_colours(images: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Scale and offset the colours of images [B, 3, H, W], each image differently, in place."""

    def uniform(limit: float, channels: int) -> F32:
        return rng.uniform(-limit, limit, (len(images), channels, 1, 1)).astype(np.float32)

    gain = 1 + uniform(config.contrast, 1) + uniform(config.colour, 3)
    offset = uniform(config.brightness, 1)
    return images.mul_(torch.from_numpy(gain)).add_(torch.from_numpy(offset))
