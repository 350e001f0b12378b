"""Small networks on a policy's frozen context: what is to be expected of an observation.

Each episode is judged by a head that has not seen it (folds of whole episodes): a head that has
would know how it ended, and nothing would be left of the advantage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.signals.source import F32, F64

I64 = NDArray[np.int64]
SPREAD = 0.75  # of a target over the bins, in widths of one (HL-Gauss, Farebrother et al. 2024)
DIVERGED = 100.0  # times the range of the returns


@dataclass(frozen=True, slots=True)
class Fit:
    """How heads are fitted."""

    steps: int = 1500
    batch: int = 256
    rate: float = 1e-3
    width: int = 128
    folds: int = 4
    seed: int = 0
    decay: float = 1e-2  # of the weights

    def __post_init__(self) -> None:
        if self.folds < 2 or self.steps < 1 or self.batch < 1:
            raise ConfigError(
                f"folds {self.folds}, steps {self.steps}, batch {self.batch}: need >= 2, 1, 1"
            )


def folds_of(episode: NDArray[np.integer], fit: Fit) -> Iterator[tuple[I64, I64]]:
    """Yield (rows to fit on, rows to judge) for each fold. Raises `EpisodeError` for too few."""
    known = np.unique(episode)
    if len(known) < fit.folds:
        raise EpisodeError(f"{len(known)} episodes do not make {fit.folds} folds: record more")
    order = np.random.default_rng(fit.seed).permutation(known)
    for k in range(fit.folds):
        judged = np.isin(episode, order[k :: fit.folds])
        yield np.flatnonzero(~judged), np.flatnonzero(judged)


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Make the head: two hidden layers."""
    return nn.Sequential(
        nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.SiLU(),
        nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs),
    )  # fmt: skip


class Bins:
    """Returns as a distribution over equal bins; what is expected is its mean."""

    def __init__(self, low: float, high: float, count: int = 51) -> None:
        self.edges = torch.linspace(low, max(high, low + 1e-6), count + 1, dtype=torch.float32)
        self.centres = 0.5 * (self.edges[1:] + self.edges[:-1])
        self._sigma = SPREAD * float(self.edges[1] - self.edges[0])

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.centres)

    def targets(self, returns: Tensor) -> Tensor:
        """Spread returns [B] over the bins [B, count] as a Gaussian, all of it within."""
        bounded = returns.clamp(self.edges[0], self.edges[-1])[:, None]
        below = torch.special.ndtr((self.edges[None] - bounded) / self._sigma)
        share = below[:, 1:] - below[:, :-1]
        return share / share.sum(1, keepdim=True)

    def mean(self, logits: Tensor) -> Tensor:
        """Return the expected value [B] of logits [B, count]."""
        return logits.softmax(1) @ self.centres


def expectile_loss(error: Tensor, tau: float) -> Tensor:
    """Weigh squares of target - value: tau where the target is higher, else 1 - tau (IQL)."""
    return (torch.where(error > 0, tau, 1.0 - tau) * error.square()).mean()


def fitted(head: nn.Module, rows: I64, loss: Callable[[Tensor], Tensor], fit: Fit) -> nn.Module:
    """Fit `head` by batches of `rows`; `loss` maps rows [B] to the loss of a batch."""
    rng = np.random.default_rng((fit.seed, len(rows)))
    optimizer = torch.optim.AdamW(head.parameters(), fit.rate, weight_decay=fit.decay)
    for _ in range(fit.steps):
        chosen = torch.from_numpy(rng.choice(rows, min(fit.batch, len(rows)), replace=False))
        optimizer.zero_grad()
        loss(chosen).backward()
        optimizer.step()
    return head.eval()


def distribution_values(features: F32, returns: F64, episode: I64, fit: Fit) -> F64:
    """Expect the return of each observation [N] by a distribution over bins, fold by fold."""
    known = np.isfinite(returns)
    told = torch.from_numpy(np.where(known, returns, 0.0)).float()
    x = torch.from_numpy(features)
    bins = Bins(float(returns[known].min()), float(returns[known].max()))
    values = np.full(len(returns), np.nan)
    for learned, judged in folds_of(episode, fit):
        torch.manual_seed(fit.seed)
        head = mlp(features.shape[1], fit.width, bins.count)

        def loss(rows: Tensor, head: nn.Module = head) -> Tensor:
            return nn.functional.cross_entropy(head(x[rows]), bins.targets(told[rows]))

        fitted(head, learned[known[learned]], loss, fit)
        with torch.no_grad():
            values[judged] = bins.mean(head(x[judged])).double().numpy()
    return checked(values, returns[known])


def expectile_values(features: F32, returns: F64, episode: I64, tau: float, fit: Fit) -> F64:
    """Expect the tau-expectile of the return of each observation [N], fold by fold."""
    known = np.isfinite(returns)
    told = torch.from_numpy(np.where(known, returns, 0.0)).float()
    x, values = torch.from_numpy(features), np.full(len(returns), np.nan)
    for learned, judged in folds_of(episode, fit):
        torch.manual_seed(fit.seed)
        head = mlp(features.shape[1], fit.width, 1)

        def loss(rows: Tensor, head: nn.Module = head) -> Tensor:
            return expectile_loss(told[rows] - head(x[rows])[:, 0], tau)

        fitted(head, learned[known[learned]], loss, fit)
        with torch.no_grad():
            values[judged] = head(x[judged])[:, 0].double().numpy()
    return checked(values, returns[known])


def checked(values: F64, returns: F64) -> F64:
    """Return `values`. Raises `EpisodeError` for a head that diverged."""
    low, high = float(returns.min()), float(returns.max())
    room = DIVERGED * max(high - low, 1e-6)
    finite = values[~np.isnan(values)]
    if (
        not np.isfinite(finite).all()
        or (finite < low - room).any()
        or (finite > high + room).any()
    ):
        raise EpisodeError(
            "the learned value diverged: returns run from "
            f"{low:.3g} to {high:.3g}, values to {np.abs(finite).max():.3g}; lower the rate"
        )
    return values
