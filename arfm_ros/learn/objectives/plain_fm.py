"""Plain flow matching (behaviour cloning): every observation counts the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.learn.data.frames import Frames


@dataclass(frozen=True, slots=True)
class PlainFm:
    """The mean loss of all observations."""

    name: str = "fm"
    needs_signal: ClassVar[bool] = False
    conditioned: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select what is learned from: everything."""
        return rows

    def over(self, signal: Tensor, task: Tensor) -> PlainFm:
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
