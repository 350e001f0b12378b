"""Return-conditioned flow matching (as in ReinboT): R* is an input, and a high one is asked for.

At run time the network takes the constant `target` in its place, which the export folds in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames


@dataclass(frozen=True, slots=True)
class ReturnConditioned:
    """Flow matching of p(a | o, R*); every observation counts the same."""

    name: str = "return"
    quantile: float = 0.9  # of the training data's R*: what the policy is asked for
    limit: float = 5.0  # R* is clipped to +- this before it enters the network
    needs_signal: ClassVar[bool] = True
    conditioned: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.quantile <= 1 and self.limit > 0):
            raise ConfigError(
                f"quantile {self.quantile} and limit {self.limit}: need 0..1 and > 0"
            )

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select what is learned from: everything."""
        return rows

    def over(self, signal: Tensor, task: Tensor) -> ReturnConditioned:
        """Know all that is learned from: nothing of it is needed."""
        return self

    def condition(self, signal: Tensor, draw: Tensor | None = None) -> Tensor | None:
        """Make the network's extra input [B] of R*."""
        return signal.float().clamp(-self.limit, self.limit)

    def target(self, signal: NDArray[np.float64]) -> float | None:
        """Choose the R* that the policy is asked for at run time."""
        wanted = float(np.quantile(signal, self.quantile))
        return min(max(wanted, -self.limit), self.limit)

    def weights(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples [B]: 1 / B each."""
        info = {"sigma_r": float(signal.std(correction=0))}
        return torch.full_like(losses, 1 / len(losses)), info

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Sum w_i l_i over the batch [B]."""
        weights, info = self.weights(losses.detach(), signal, task)
        return (weights * losses).sum(), info
