"""Batches for training: normalised, augmented, and a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32
from arfm_ros.core.values.normalize import Affine, fit_affine
from arfm_ros.core.values.spec import Axis, CameraInput, Language, PolicySpec
from arfm_ros.learn.data.augment import (
    AugmentConfig,
    Changes,
    draw_changes,
    recolour,
    shift_images,
)
from arfm_ros.learn.data.frames import Frames, FramesConfig
from arfm_ros.learn.model.network import to_float
from arfm_ros.robots.objects import AXES, object_of

Sliced = TypeVar("Sliced", NDArray[np.int64], F32, Tensor)


class Share(NamedTuple):
    """One of `count` equal slices of a step's batch: what one thread or process computes."""

    index: int = 0
    count: int = 1

    def size(self, batch: int, rows: int) -> int:
        """Tell how many samples a slice has of a batch wanted of `batch` out of `rows`.

        Raises `ConfigError` if they cannot be cut evenly.
        """
        if batch % self.count:
            raise ConfigError(
                f"--batch {batch} does not cut into {self.count} equal shares, one a thread of "
                "each process: choose a multiple"
            )
        if rows < self.count:
            raise ConfigError(f"{rows} observations for {self.count} shares: --threads 1")
        return min(batch, rows) // self.count

    def of(self, whole: Sliced) -> Sliced:
        """Cut this slice of `whole`, whose length is a multiple of `count`."""
        size = len(whole) // self.count
        return whole[self.index * size : (self.index + 1) * size]


WHOLE = Share()


class Batch(NamedTuple):
    """Tensors of B observations."""

    images: dict[str, Tensor]  # [B, 3, H, W] in about -1..1
    state: Tensor  # [B, S] normalised
    tokens: Tensor  # [B, L]
    actions: Tensor  # [B, H, A] normalised
    keyframe: Tensor  # [B, A] normalised
    signal: Tensor  # [B], R*; 0 where no objective asked for it
    task: Tensor  # [B], its number among the tasks of the frames

    def to(self, device: torch.device) -> Batch:
        """Copy it to a device."""
        return self.map(lambda value: value.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply `change` to every tensor."""
        images = {name: change(value) for name, value in self.images.items()}
        return Batch(images, *(change(value) for value in self[1:]))


def fit_spec(frames: Frames, config: FramesConfig, rows: NDArray[np.int64]) -> PolicySpec:
    """Make the policy's specification with normalisation fitted to `rows` of `frames`.

    Actions of measured joints are relative to the measured state, the others and a gripper's are
    absolute; statistics are per step of the chunk and per action.
    """
    robot = config.robot
    objects = tuple(Axis(name, AXES[object_of(name)[1]]) for name in config.objects)
    by_task = dict(zip(frames.tasks, frames.instructions))
    action = config.spaces.axes() if config.spaces else robot.action
    spec = PolicySpec(
        name="untitled",
        cameras=tuple(CameraInput(n, h, w) for n, h, w in config.cameras),
        state=robot.state + objects,
        action=action,
        horizon=config.horizon,
        dt_ns=config.dt_ns,
        state_norm=fit_affine(frames.state[rows], floor=0.02),
        action_norm=fit_affine(frames.chunk[rows], floor=0.01),
        relative=(False,) * len(action) if config.spaces else robot.relative,
        language=Language("hashed_words", config.tokens, config.vocabulary),
        instructions=by_task,
        actions=config.spaces.maps if config.spaces else (),
    )
    offsets = frames.chunk[rows] - spec.reference(frames.state[rows])[:, None]
    return replace(spec, action_norm=fit_affine(offsets, floor=0.01))


def split_episodes(frames: Frames, fraction: float, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Split the rows into training and held-out ones by whole episodes, at least one of each.

    A fraction of 0 holds none out.
    """
    count = len(frames.instructions)
    order = np.random.default_rng(seed).permutation(count)
    few = count < 2 or fraction == 0
    held = order[:0] if few else order[: max(1, round(fraction * count))]
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
    chance: NDArray[np.float64] | None = None  # [rows], of being drawn; None: each once an epoch

    @property
    def _joints(self) -> NDArray[np.int64]:
        """Columns of the state that are moved by actions; the others are seen, like objects."""
        return np.flatnonzero(np.isin(self.spec.state_names, self.spec.action_names))

    def batch(self, step: int, size: int, share: Share = WHOLE) -> Batch:
        """Make a share of the training batch of `step`: shuffled epochs, augmented.

        The shares of a step together are its batch of `size`, however many they are.
        """
        size = share.count * share.size(size, len(self.rows))
        rows = np.sort(draw_rows(self.rows, size, self.seed, step, self.chance))
        rng = np.random.default_rng((self.seed, 1 << 20, step))
        shape = (size, len(self._joints))
        changes = draw_changes(self.augment, shape, tuple(self.frames.images), rng)
        return self.gather(share.of(rows), changes.map(share.of))

    def gather(self, rows: NDArray[np.int64], changes: Changes | None = None) -> Batch:
        """Collect `rows`, changed by what was drawn for each of them."""
        frames, spec, signal = self.frames, self.spec, self.signal
        state = frames.state[rows]
        reference = spec.reference(state)[:, None]
        actions = spec.action_norm.normalise(frames.chunk[rows] - reference)
        images = {name: pixels[rows] for name, pixels in frames.images.items()}
        if changes is not None:
            limit = self.augment.shift_px
            images = {n: shift_images(x, changes.shift[n], limit) for n, x in images.items()}
            # the numbers of objects stay as they are: a centimetre decides a grasp
            state[:, self._joints] += changes.state
        tensors = {name: to_float(torch.from_numpy(x)) for name, x in images.items()}
        if changes is not None:
            gain, offset = changes.gain, changes.offset
            tensors = {n: recolour(x, gain[n], offset[n]) for n, x in tensors.items()}
        return Batch(
            images=tensors,
            state=torch.from_numpy(spec.state_norm.normalise(state)),
            tokens=torch.from_numpy(frames.tokens[frames.episode[rows]]),
            actions=torch.from_numpy(actions),
            keyframe=torch.from_numpy(self.keyframe_norm.normalise(frames.keyframe[rows])),
            signal=torch.from_numpy(np.zeros(len(rows)) if signal is None else signal[rows]),
            task=torch.from_numpy(frames.task_numbers[frames.episode[rows]]),
        )


def draw_rows(
    rows: NDArray[np.int64], size: int, seed: int, step: int, chance: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Draw the rows [size] of a step: of shuffled epochs, or by their chances."""
    if chance is not None:
        return np.random.default_rng((seed, 1 << 21, step)).choice(rows, size, p=chance)
    epoch, place = divmod(step, len(rows) // size)
    order = np.random.default_rng((seed, epoch)).permutation(len(rows))
    return rows[order[place * size : (place + 1) * size]]


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
