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
    """All n rows that are learned from; moments of their weights for C candidates of alpha."""

    returns: Tensor  # R* [n]
    tasks: Tensor  # [n], their numbers
    alphas: F64  # [C]
    log_z: Tensor  # [C, K], of tasks 0 to K - 1
    squares: F64  # [C], the mean of (n w)^2
    gains: F64  # [C], the mean of n w R*

    @classmethod
    def of(cls, signal: Tensor, task: Tensor, alphas: F64) -> Population:
        """Compute them for R* [n] and the tasks [n] of all rows."""
        returns, tasks = signal.detach().cpu().double(), task.cpu().long()
        found = []
        for alpha in alphas.tolist():  # one at a time: rows may be millions
            log_z = _log_z(returns, tasks, alpha)
            weights = (alpha * returns - log_z[tasks]).exp()
            moments = float(weights.square().mean()), float((weights * returns).mean())
            found.append((log_z, *moments))
        constants, squares, gains = zip(*found)
        return cls(
            returns, tasks, alphas, torch.stack(constants), np.array(squares), np.array(gains)
        )

    def best(self, sigma_l: float, lam: float, ess_min: float) -> float:
        """Choose the candidate that minimises J; `ess_min` is a share of the rows."""
        cost = sigma_l**2 * (self.squares - 1.0) - lam * self.gains
        cost[self.squares * ess_min > 1.0] = np.inf
        return float(self.alphas[int(np.argmin(cost))])

    def weights(self, signal: Tensor, task: Tensor, alpha: float) -> Tensor:
        """Weigh the samples [B] of a batch."""
        known = np.flatnonzero(self.alphas == alpha)
        log_z = (
            self.log_z[int(known[0])] if len(known) else _log_z(self.returns, self.tasks, alpha)
        )
        return (alpha * signal - log_z.to(signal)[task.long()]).exp() / len(signal)


def _log_z(returns: Tensor, tasks: Tensor, alpha: float) -> Tensor:
    """Compute log Z [K] of tasks 0 to K - 1; 0 for a number that no row has."""
    found = torch.zeros(int(tasks.max()) + 1, dtype=torch.float64)
    for k in tasks.unique().tolist():
        own = returns[tasks == k]
        found[k] = (alpha * own).logsumexp(0) - np.log(len(own))
    return found
