"""ARFM, adaptive reinforced flow matching (Zhang et al. 2025, arXiv 2509.04063).

The target policy is proportional to p(a | o) exp(alpha R*): per-sample flow losses l_i get the
weights w_i = softmax_i(alpha R*_i) of their batch. alpha minimises the variance of the gradient
less lambda times the signal, with R* ~ N(0, sigma_R^2) and l ~ N(mu_L, sigma_L^2):

    J(alpha) = sigma_L^2 (exp(2 x) - exp(x)) - lambda alpha sigma_R^2,   x = alpha^2 sigma_R^2

Returns that say only success or failure are no Gaussian: their weights cannot vary by more than
1 / p - 1 at a success rate of p, and J stops at an alpha that keeps many failures. `moments` of
"batch" takes both terms from the batch itself instead, for the weights as they are used:

    J(alpha) = sigma_L^2 (B sum w_i^2 - 1) - lambda sum w_i R*_i

The target policy's constant Z depends on o, and one softmax over a batch of several tasks takes it
for one: a task with few successes, whose R* are the highest, takes the weight of the others.
`normaliser` of "task" gives each task of the batch a softmax and a Z of its own; of "data" (the
default) Z and the moments are those of all that is learned from (`population`), whatever the batch
holds of it. Where only a batch is known, that is all data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.objectives.population import Population

ITERATIONS_MIN = 20
MOMENTS = ("gaussian", "batch")
NORMALISERS = ("batch", "task", "data")
CANDIDATES = 64  # values of alpha that `batch` compares
# what the paper gives; at the losses' spread of 0.15 its alpha is 0.01, plain flow matching
PAPER: dict[str, float | str] = {
    "lam": 5e-4,
    "moments": "gaussian",
    "normaliser": "batch",
    "ess_min": 0.0,
}


F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arfm:
    """Adaptive weights; the bounds of alpha are the paper's, the rest is what works (`PAPER`).

    Returns that say success or failure are no Gaussian, whose J stops at an alpha that keeps many
    failures: the moments are the data's, and lambda 2 lets the signal count. Tasks that fail
    unequally often have constants of their own, which a small batch does not know: they are those
    of all data. A signal with a long tail, such as an advantage, would give few observations all
    the weight: a share of them counts at least.
    """

    name: str = "arfm"
    lam: float = 2.0  # lambda: how much signal is worth in variance
    alpha_min: float = 0.01
    alpha_max: float = 5.0
    iterations: int = 60  # 20 in the paper; 60 reach the last digit and cost microseconds
    moments: str = "batch"  # of what is weighed itself, or "gaussian" as in the paper
    normaliser: str = "data"  # Z of all data, a task; "task": of the batch, a task; "batch": of it
    ess_min: float = 0.1  # least effective sample size, as a share of the batch
    needs_signal: ClassVar[bool] = True
    conditioned: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    guidance: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.lam < math.inf or not 0 <= self.alpha_min <= self.alpha_max < math.inf:
            raise ConfigError(
                f"lambda {self.lam}, alpha {self.alpha_min}..{self.alpha_max}: need lambda >= 0 "
                "and 0 <= alpha_min <= alpha_max"
            )
        if self.iterations < ITERATIONS_MIN:
            raise ConfigError(f"{self.iterations} iterations, need at least {ITERATIONS_MIN}")
        if self.moments not in MOMENTS:
            raise ConfigError(f"moments '{self.moments}', needs one of {', '.join(MOMENTS)}")
        if not 0.0 <= self.ess_min < 1.0:
            raise ConfigError(f"ess_min {self.ess_min}: a share of the batch, 0 or more, below 1")
        if self.normaliser not in NORMALISERS:
            raise ConfigError(
                f"normaliser '{self.normaliser}', needs one of {', '.join(NORMALISERS)}"
            )

    @property
    def candidates(self) -> F64:
        """Values of alpha [C] that moments of the batch choose among."""
        return np.geomspace(max(self.alpha_min, 1e-3), self.alpha_max, CANDIDATES)

    def rows(
        self, frames: Frames, rows: NDArray[np.int64], signal: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Select what is learned from: everything."""
        return rows

    def over(self, signal: Tensor, task: Tensor) -> Arfm:
        """Know R* [N] and the tasks [N] of all that is learned from: what "data" stands for."""
        if self.normaliser != "data":
            return self
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return ArfmOverAll(**own, population=Population.of(signal, task, self.candidates))

    def condition(self, signal: Tensor, draw: Tensor | None = None) -> Tensor | None:
        """Make the network's extra input: none."""
        return None

    def target(self, signal: NDArray[np.float64]) -> float | None:
        """Ask for nothing."""
        return None

    def weights(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples [B] by softmax(alpha R*); alpha and w take no gradient."""
        sigma_r = float(signal.std(correction=0))
        sigma_l = float(losses.std(correction=0))
        alpha, clipped, weights = self.weigh(sigma_r, sigma_l, signal, task)
        info = {
            "alpha": alpha,
            "clipped": float(clipped),
            "ess": effective_samples(weights),
            "sigma_r": sigma_r,
            "sigma_l": sigma_l,
        }
        return weights, info

    def loss(
        self, losses: Tensor, signal: Tensor, task: Tensor | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Sum w_i l_i over the batch [B]."""
        weights, info = self.weights(losses.detach(), signal, task)
        return (weights * losses).sum(), info

    def weigh(
        self, sigma_r: float, sigma_l: float, signal: Tensor, task: Tensor | None
    ) -> tuple[float, bool, Tensor]:
        """Choose alpha, tell whether it was clipped, and weigh the samples [B] with it."""
        task = None if self.normaliser == "batch" else task
        alpha, clipped = self.alpha(sigma_r, sigma_l, signal, task)
        return alpha, clipped, softmax_weights(signal, alpha, task)

    def alpha(
        self,
        sigma_r: float,
        sigma_l: float,
        signal: Tensor | None = None,
        task: Tensor | None = None,
    ) -> tuple[float, bool]:
        """Solve for alpha and tell whether it had to be clipped to its bounds.

        `signal` R* [B] is what the moments of the batch are taken from, `task` [B] what each
        softmax of it is over. Without a spread of R* nothing is to be told apart: the lower
        bound; without one of the losses weighting costs nothing: the upper bound.
        """
        if not (math.isfinite(sigma_r) and math.isfinite(sigma_l)):
            return self.alpha_min, True
        if sigma_r <= 0 or self.lam == 0:
            return self.alpha_min, True
        if sigma_l <= 0:
            return self.alpha_max, True
        if self.moments == "batch":
            if signal is None:
                raise ConfigError("moments of the batch need the R* of the batch")
            rule, candidates = (sigma_l, self.lam, self.ess_min), self.candidates
            best = best_alpha(signal, rule, candidates, task)
            return best, best == candidates[0] or best == candidates[-1]
        best = solve_alpha(sigma_r, sigma_l, self.lam, self.iterations)
        clipped = min(max(best, self.alpha_min), self.alpha_max)
        return clipped, clipped != best


@dataclass(frozen=True, slots=True)
class ArfmOverAll(Arfm):
    """ARFM that knows all that is learned from; each batch is a sample of it."""

    population: Population = field(kw_only=True)

    def weigh(
        self, sigma_r: float, sigma_l: float, signal: Tensor, task: Tensor | None
    ) -> tuple[float, bool, Tensor]:
        """Choose alpha by the moments of all rows and weigh the samples [B] with their Z."""
        task = torch.zeros_like(signal) if task is None else task
        if self.moments == "batch":
            alpha = self.population.best(sigma_l, self.lam, self.ess_min)
            clipped = alpha in {self.population.alphas[0], self.population.alphas[-1]}
        else:
            alpha, clipped = self.alpha(sigma_r, sigma_l, signal, task)
        return alpha, clipped, self.population.weights(signal, task, alpha)


def solve_alpha(sigma_r: float, sigma_l: float, lam: float, iterations: int = 60) -> float:
    """Minimise J: the root of 4 q e^(2 q^2) - 2 q e^(q^2) = c, c = lambda sigma_R / sigma_L^2.

    Bisection on log q, q = alpha sigma_R, with both sides in logarithms: nothing overflows, and
    the root is as exact near 0 as elsewhere. All arguments are positive.
    """
    log_c = math.log(lam) + math.log(sigma_r) - 2 * math.log(sigma_l)
    # 2 q <= left side, so q <= c / 2; for large c its exponential is met by 1 + sqrt(log c)
    high = min(log_c - math.log(2), math.log1p(math.sqrt(max(log_c, 0.0))))
    # left side <= 4 q e^(2 q^2)
    low = log_c - math.log(4) - 2 * math.exp(2 * high)
    for _ in range(iterations):
        middle = 0.5 * (low + high)
        x = math.exp(2 * middle)
        if middle + 2 * x + math.log(4 - 2 * math.exp(-x)) > log_c:
            high = middle
        else:
            low = middle
    return math.exp(min(0.5 * (low + high) - math.log(sigma_r), 700.0))


def best_alpha(
    signal: Tensor, rule: tuple[float, float, float], candidates: F64, task: Tensor | None = None
) -> float:
    """Choose the candidate [C] that minimises J with the moments of a batch of R* [B].

    `rule` is sigma_L, lambda, and the least effective sample size as a share of the batch. J need
    not be convex, so all candidates are compared.
    """
    sigma_l, lam, ess_min = rule
    returns = signal.detach().cpu().double()
    weights = softmax_weights(returns, torch.from_numpy(candidates)[:, None], task)
    squares = weights.square().sum(1)
    cost = sigma_l**2 * (len(returns) * squares - 1) - lam * weights @ returns
    cost[squares * ess_min * len(returns) > 1] = torch.inf
    return float(candidates[int(torch.argmin(cost))])


def softmax_weights(signal: Tensor, alpha: float | Tensor, task: Tensor | None = None) -> Tensor:
    """Compute w_i = softmax_i(alpha R*_i) of a batch [B], in log form; of alphas [C, 1]: [C, B].

    Given the tasks [B], a softmax for each, times the share of the batch that the task has.
    """
    logits = alpha * signal
    if task is None:
        return logits.log_softmax(-1).exp()
    weights = torch.empty_like(logits)
    for number in task.unique():
        own = task == number
        weights[..., own] = own.double().mean() * logits[..., own].log_softmax(-1).exp()
    return weights


def effective_samples(weights: Tensor) -> float:
    """Compute the effective sample size (sum w)^2 / sum w^2 of weights."""
    return float(weights.sum().square() / weights.square().sum())
