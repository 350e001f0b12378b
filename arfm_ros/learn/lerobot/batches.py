"""Batches of recorded episodes as LeRobot's processors take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import CameraInput
from arfm_ros.export.vla.interface import Interface
from arfm_ros.learn.data.frames import Frames, FramesConfig
from arfm_ros.robots.embodiment import Embodiment

STATE, ACTION, PADDED = "observation.state", "action", "action_is_pad"
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


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Rows of `frames` as dictionaries of LeRobot's names; a function of the seed and the step."""

    frames: Frames
    rows: NDArray[np.int64]
    cameras: Mapping[str, str]  # feature -> camera of the frames
    signal: NDArray[np.float64]  # [N], R*
    seed: int = 0
    chance: NDArray[np.float64] | None = None  # [rows], of being drawn; None: each once an epoch

    def drawn(self, step: int, size: int) -> NDArray[np.int64]:
        """Draw the rows [size] of a step: shuffled epochs, or by their chances."""
        size = min(size, len(self.rows))
        if self.chance is not None:
            rng = np.random.default_rng((self.seed, 1 << 21, step))
            return rng.choice(self.rows, size, p=self.chance)
        epoch, place = divmod(step, len(self.rows) // size)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        return self.rows[order[place * size : (place + 1) * size]]

    def raw(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Collect `rows` [B]: pictures [B, 3, H, W] 0..1, state [B, S], action [B, H, A], task."""
        frames = self.frames
        pictures = {
            feature: torch
            .from_numpy(np.ascontiguousarray(frames.images[camera][rows]))
            .permute(0, 3, 1, 2)
            .float()
            / 255.0
            for feature, camera in self.cameras.items()
        }
        action = torch.from_numpy(np.ascontiguousarray(frames.chunk[rows]))
        return {
            **pictures,
            STATE: torch.from_numpy(np.ascontiguousarray(frames.state[rows])),
            ACTION: action,
            PADDED: torch.zeros(action.shape[:2], dtype=torch.bool),
            "task": [frames.instructions[episode] for episode in frames.episode[rows]],
        }

    def told(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give R* [B] of rows and the numbers [B] of their tasks."""
        tasks = self.frames.task_numbers[self.frames.episode[rows]]
        return torch.from_numpy(self.signal[rows]), torch.from_numpy(tasks)
