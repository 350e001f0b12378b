"""Filtered behaviour cloning: plain flow matching on the successful episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import EpisodeError
from arfm_ros.learn.data.frames import Frames


@dataclass(frozen=True, slots=True)
class FilteredBc:
    """The mean loss of the observations of successful episodes."""

    name: str = "filtered_bc"
    needs_signal: ClassVar[bool] = False
    conditioned: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select the successful episodes' rows. Raises `EpisodeError` if there are none."""
        kept = rows[frames.success[frames.episode[rows]] == 1]
        if not len(kept):
            labelled = int((frames.success >= 0).sum())
            raise EpisodeError(
                f"none of the training episodes succeeded ({labelled} of {len(frames.tasks)} are "
                "labelled): filtered_bc needs one; record a success or choose another --objective"
            )
        return kept

    def over(self, signal: Tensor, task: Tensor) -> FilteredBc:
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
