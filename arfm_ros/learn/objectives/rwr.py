"""Reward-weighted regression: exponential weights at a fixed temperature, cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames

ROUNDING = 1e-12  # of the largest R*: a spread below it is none


@dataclass(frozen=True, slots=True)
class Rwr:
    """w_i = min(exp(beta z(R_i)), w_max), not normalised; z over the batch.

    Without `z_score` beta stands for R* as it is: for one scale of the reward.
    """

    name: str = "rwr"
    beta: float = 10.0
    weight_max: float = 100.0
    z_score: float = 1.0  # 0: none
    needs_signal: ClassVar[bool] = True
    conditioned: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not (self.beta >= 0 and self.weight_max > 0):
            raise ConfigError(
                f"beta {self.beta} and weight_max {self.weight_max}: need >= 0 and > 0"
            )

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select what is learned from: everything."""
        return rows

    def over(self, signal: Tensor, task: Tensor) -> Rwr:
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
        """Weigh the samples [B]: w_i / B."""
        sigma = signal.std(correction=0)
        differ = bool(sigma > ROUNDING * signal.abs().max())
        z = signal - signal.mean() if differ else torch.zeros_like(signal)
        z = z / sigma if differ and self.z_score else z
        # the cut-off is taken in logarithms: exp would overflow first
        exponent = (self.beta * z).clamp(max=float(np.log(self.weight_max)))
        weights = exponent.exp()
        cut = (self.beta * z >= np.log(self.weight_max)).double().mean()
        ess = weights.sum().square() / weights.square().sum()
        info = {"clipped": float(cut), "ess": float(ess), "sigma_r": float(sigma)}
        return weights / len(losses), info

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Sum w_i l_i over the batch [B]."""
        weights, info = self.weights(losses.detach(), signal, task)
        return (weights * losses).sum(), info
