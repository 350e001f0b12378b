"""Batches of recorded episodes, in physical units, as another library's policy learns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import CameraInput
from arfm_ros.export.vla.interface import Interface
from arfm_ros.learn.data.dataset import draw_rows
from arfm_ros.learn.data.frames import Frames, FramesConfig
from arfm_ros.robots.embodiment import Embodiment

HEIGHT, WIDTH = 240, 320  # that pictures are kept in; the policy resizes them itself


def frames_config(
    robot: Interface, horizon: int, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> FramesConfig:
    """Say how episodes are read for a policy with this interface."""
    if robot.spaces:
        raise ConfigError("fine-tuning learns positions of axes: an interface without spaces")
    cameras = tuple(CameraInput(name, *size) for name in robot.cameras.values())
    spec = robot.spec("", horizon, cameras)
    return FramesConfig(
        cameras=tuple((camera.name, *size) for camera in cameras),
        robot=Embodiment.of_policy(spec),
        horizon=horizon,
        dt_ns=spec.dt_ns,
    )


class Raw(NamedTuple):
    """A batch of observations with what was done."""

    pictures: Mapping[str, NDArray[np.uint8]]  # the library's name -> [B, H, W, 3]
    state: torch.Tensor  # [B, S]
    action: torch.Tensor  # [B, H, A]
    tasks: list[str]  # [B], instructions


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Rows of `frames`, drawn as a function of the seed and the step."""

    frames: Frames
    rows: NDArray[np.int64]
    cameras: Mapping[str, str]  # the library's name -> camera of the frames
    signal: NDArray[np.float64]  # [N], R*
    seed: int = 0
    chance: NDArray[np.float64] | None = None  # [rows], of being drawn; None: each once an epoch

    def drawn(self, step: int, size: int) -> NDArray[np.int64]:
        """Draw the rows [size] of a step: shuffled epochs, or by their chances."""
        size = min(size, len(self.rows))
        return draw_rows(self.rows, size, self.seed, step, self.chance)

    def raw(self, rows: NDArray[np.int64]) -> Raw:
        """Collect `rows` [B]."""
        frames = self.frames
        return Raw(
            {k: np.ascontiguousarray(frames.images[c][rows]) for k, c in self.cameras.items()},
            torch.from_numpy(np.ascontiguousarray(frames.state[rows])),
            torch.from_numpy(np.ascontiguousarray(frames.chunk[rows])),
            [frames.instructions[episode] for episode in frames.episode[rows]],
        )

    def told(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give R* [B] of rows and the numbers [B] of their tasks."""
        tasks = self.frames.task_numbers[self.frames.episode[rows]]
        return torch.from_numpy(self.signal[rows]), torch.from_numpy(tasks)
