"""Filtered by a signal: plain flow matching on what turned out better than most of its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.data.frames import Frames


@dataclass(frozen=True, slots=True)
class FilteredSignal:
    """The mean loss of the observations whose R* is above a quantile of their task's."""

    name: str = "filtered_signal"
    quantile: float = 0.5
    needs_signal: ClassVar[bool] = True
    conditioned: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.quantile < 1:
            raise ConfigError(f"quantile {self.quantile}: needs 0 or more, less than 1")

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select the rows by R* [N]: above the quantile, or on it where nothing is above.

        Raises `EpisodeError` where R* is the same everywhere.
        """
        tasks, kept = frames.task_numbers[frames.episode[rows]], []
        for task in np.unique(tasks):
            own = rows[tasks == task]
            values = signal[own]
            least = np.quantile(values, self.quantile)
            above = values > least
            kept.append(own[above if above.any() else values >= least])
        chosen = np.sort(np.concatenate(kept)) if kept else rows[:0]
        if not len(chosen) or not np.ptp(signal[rows]):
            raise EpisodeError(
                "the signal is the same everywhere: filtered_signal has nothing to choose by"
            )
        return chosen

    def over(self, signal: Tensor, task: Tensor) -> FilteredSignal:
        """Know all that is learned from: nothing of it is needed."""
        return self

    def condition(self, signal: Tensor, draw: Tensor | None = None) -> Tensor | None:
        """Make the network's extra input: none."""
        return None

    def target(self, signal: NDArray[np.float64]) -> float | None:
        """Ask for nothing."""
        return None

    def weights(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples [B]: 1 / B each."""
        return torch.full_like(losses, 1 / len(losses)), {}

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Sum w_i l_i over the batch [B]."""
        weights, info = self.weights(losses.detach(), signal, task)
        return (weights * losses).sum(), info
