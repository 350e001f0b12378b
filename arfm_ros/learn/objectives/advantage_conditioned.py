"""Flow matching told whether what was done was better than expected; good is asked for.

The indicator is 1 where R* is above a quantile of its task, -1 elsewhere, and dropped (0) at
random, so that one network has both velocities: with the indicator and without. At run time
classifier-free guidance goes further than the data: v(0) + w (v(1) - v(0)). The form is that of
RECAP (pi*0.6, 2025), the guidance that of Ho and Salimans (2022).
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

GOOD, POOR, DROPPED = 1.0, -1.0, 0.0


@dataclass(frozen=True, slots=True)
class AdvantageConditioned:
    """Every observation counts the same; R* is centred, so that 0 is what was to be expected."""

    name: str = "advantage"
    threshold: float = 0.0  # of R*, in deviations of its task
    drop: float = 0.2  # share of the observations without an indicator
    guidance: float = 1.5  # w; 1 is the plain conditional velocity and costs no second pass
    needs_signal: ClassVar[bool] = True
    conditioned: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (0 <= self.drop < 1 and self.guidance >= 0):
            raise ConfigError(
                f"drop {self.drop} and guidance {self.guidance}: need 0..1 and 0 or more"
            )

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select what is learned from: everything."""
        return rows

    def over(self, signal: Tensor, task: Tensor) -> AdvantageConditioned:
        """Know all that is learned from: nothing of it is needed."""
        return self

    def condition(self, signal: Tensor, draw: Tensor | None = None) -> Tensor | None:
        """Make the indicator [B]; `draw` [B] in 0..1 says where it is dropped."""
        told = torch.where(signal > self.threshold, GOOD, POOR).float()
        if draw is None:
            return told
        return torch.where(draw.to(told.device) < self.drop, torch.zeros_like(told), told)

    def target(self, signal: NDArray[np.float64]) -> float | None:
        """Ask for the good."""
        return GOOD

    def weights(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples [B]: 1 / B each."""
        good = float((signal > self.threshold).double().mean())
        return torch.full_like(losses, 1 / len(losses)), {"good": good}

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Sum w_i l_i over the batch [B]."""
        weights, info = self.weights(losses.detach(), signal, task)
        return (weights * losses).sum(), info
