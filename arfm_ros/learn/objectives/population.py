"""What ARFM's weights are over all that is learned from, which training does not change.

The target policy p(a | o) exp(alpha R*) / Z has a constant for each task. Of a batch Z is known
badly, and of a small one not at all: where none of a task's few rows is good, a softmax gives its
whole share to bad ones. Over all rows Z, and the moments that alpha is chosen by, are exact:

    Z_k = mean over the rows of task k of exp(alpha R*),   w_i = exp(alpha R*_i) / (B Z_k)

The weights of a batch sum to 1 in the mean, not each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Moments of the weights n w over all n rows, for each of C candidates of alpha."""

    alphas: F64  # [C]
    log_z: F64  # [C, K], of tasks 0 to K - 1
    squares: F64  # [C], the mean of (n w)^2
    gains: F64  # [C], the mean of n w R*

    @classmethod
    def of(cls, signal: Tensor, task: Tensor, alphas: F64) -> Population:
        """Compute them for R* [n] and the tasks [n] of all rows."""
        returns, tasks = signal.detach().cpu().double(), task.cpu().long()
        log_z = np.zeros((len(alphas), int(tasks.max()) + 1))
        squares, gains = np.zeros(len(alphas)), np.zeros(len(alphas))
        for c, alpha in enumerate(alphas):  # one at a time: rows may be millions
            logits = alpha * returns
            for k in tasks.unique().tolist():
                own = logits[tasks == k]
                log_z[c, k] = float(own.logsumexp(0)) - np.log(len(own))
            weights = (logits - torch.from_numpy(log_z[c])[tasks]).exp()
            squares[c], gains[c] = weights.square().mean(), (weights * returns).mean()
        return cls(alphas, log_z, squares, gains)

    def best(self, sigma_l: float, lam: float, ess_min: float) -> int:
        """Choose the candidate that minimises J; `ess_min` is a share of the rows."""
        cost = sigma_l**2 * (self.squares - 1.0) - lam * self.gains
        cost[self.squares * ess_min > 1.0] = np.inf
        return int(np.argmin(cost))

    def weights(self, signal: Tensor, task: Tensor, candidate: int) -> Tensor:
        """Weigh the samples [B] of a batch with a candidate's alpha."""
        log_z = torch.from_numpy(self.log_z[candidate]).to(signal)[task.long()]
        return (float(self.alphas[candidate]) * signal - log_z).exp() / len(signal)
