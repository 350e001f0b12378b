"""Direct preference optimisation on the flow loss: of two chunks the better one is made likelier.

A flow has no likelihood at hand; how much its loss fell since the policy that was begun with
stands in for it (Wallace et al. 2024, Diffusion-DPO; for actions GRAPE, Zhang et al. 2024, and
NORA-1.5, 2025). For each pair of a batch of the same task, w with the higher
R*, d = l less that of the reference:

    L = -log sigmoid(beta (d_l - d_w)) + anchor d_w

Both losses of a pair may rise together; the anchor holds that of the better one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames


@dataclass(frozen=True, slots=True)
class Preference:
    """Losses come relative to those of the reference, with the same noise and times."""

    name: str = "preference"
    beta: float = 20.0  # how fast a difference of losses saturates
    anchor: float = 0.5  # weight of plain flow matching of the better ones
    margin: float = 0.5  # least difference of R*, in deviations of the task
    needs_signal: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    conditioned: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not (self.beta > 0 and self.anchor >= 0 and self.margin > 0):
            raise ConfigError(
                f"beta {self.beta}, anchor {self.anchor} and margin {self.margin}: need above 0, "
                "0 or more, and above 0"
            )

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select what is learned from: everything. Raises `ConfigError` without any preference."""
        tasks = frames.task_numbers[frames.episode[rows]]
        spread = [np.ptp(signal[rows][tasks == task]) for task in np.unique(tasks)]
        if max(spread, default=0.0) < self.margin:
            raise ConfigError(
                f"no two observations of a task differ by {self.margin:g} in R*: there is nothing "
                "to prefer; give episodes that differ, another --signal, or a smaller --margin"
            )
        return rows

    def over(self, signal: Tensor, task: Tensor) -> Preference:
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
        """Give dL/dl [B]: what is worse than others of its task is below 0."""
        with torch.enable_grad():
            own = losses.detach().double().requires_grad_()
            value, info = self.loss(own, signal, task)
            (slopes,) = torch.autograd.grad(value, own)
        return slopes.to(losses), info

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Compute the mean over the pairs of a batch [B]; the mean loss where it holds none."""
        apart = signal[:, None] - signal[None, :]
        pairs = apart >= self.margin
        if task is not None:
            pairs &= task[:, None] == task[None, :]
        better, worse = pairs.nonzero(as_tuple=True)
        if not len(better):
            return losses.mean(), {"pairs": 0.0, "preferred": 0.5}
        gain = losses[worse] - losses[better]
        value = -F.logsigmoid(self.beta * gain).mean() + self.anchor * losses[better].mean()
        right = float((gain.detach() > 0).double().mean())
        return value, {"pairs": float(len(better)), "preferred": right}
