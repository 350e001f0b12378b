"""ARFM, adaptive reinforced flow matching (Zhang et al. 2025, arXiv 2509.04063).

The target policy is proportional to p(a | o) exp(alpha R*): per-sample flow losses l_i get the
weights w_i = softmax_i(alpha R*_i) of their batch. alpha minimises the variance of the gradient
less lambda times the signal, with R* ~ N(0, sigma_R^2) and l ~ N(mu_L, sigma_L^2):

    J(alpha) = sigma_L^2 (exp(2 x) - exp(x)) - lambda alpha sigma_R^2,   x = alpha^2 sigma_R^2

Returns that say only success or failure are no Gaussian: their weights cannot vary by more than
1 / p - 1 at a success rate of p, and J stops at an alpha that keeps many failures. `moments` of
"batch" takes both terms from the batch itself instead, for the weights as they are used:

    J(alpha) = sigma_L^2 (B sum w_i^2 - 1) - lambda sum w_i R*_i
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.frames import Frames

ITERATIONS_MIN = 20
MOMENTS = ("gaussian", "batch")
CANDIDATES = 64  # values of alpha that `batch` compares


F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arfm:
    """Adaptive weights; lambda and the bounds of alpha are the paper's."""

    name: str = "arfm"
    lam: float = 5e-4  # lambda: how much signal is worth in variance
    alpha_min: float = 0.01
    alpha_max: float = 5.0
    iterations: int = 60  # 20 in the paper; 60 reach the last digit and cost microseconds
    moments: str = "gaussian"  # as in the paper, or of the "batch"
    needs_signal: ClassVar[bool] = True
    conditioned: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.lam < 0 or not 0 <= self.alpha_min <= self.alpha_max < math.inf:
            raise ConfigError(
                f"lambda {self.lam}, alpha {self.alpha_min}..{self.alpha_max}: need lambda >= 0 "
                "and 0 <= alpha_min <= alpha_max"
            )
        if self.iterations < ITERATIONS_MIN:
            raise ConfigError(f"{self.iterations} iterations, need at least {ITERATIONS_MIN}")
        if self.moments not in MOMENTS:
            raise ConfigError(f"moments '{self.moments}', needs one of {', '.join(MOMENTS)}")

    def rows(self, frames: Frames, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Select what is learned from: everything."""
        return rows

    def condition(self, signal: Tensor) -> Tensor | None:
        """Make the network's extra input: none."""
        return None

    def weights(self, losses: Tensor, signal: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples [B] by softmax(alpha R*); alpha and w take no gradient."""
        sigma_r = float(signal.std(correction=0))
        sigma_l = float(losses.std(correction=0))
        alpha, clipped = self.alpha(sigma_r, sigma_l, signal)
        weights = softmax_weights(signal, alpha)
        info = {
            "alpha": alpha,
            "clipped": float(clipped),
            "ess": effective_samples(weights),
            "sigma_r": sigma_r,
            "sigma_l": sigma_l,
        }
        return weights, info

    def loss(self, losses: Tensor, signal: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Sum w_i l_i over the batch [B]."""
        weights, info = self.weights(losses.detach(), signal)
        return (weights * losses).sum(), info

    def alpha(
        self, sigma_r: float, sigma_l: float, signal: Tensor | None = None
    ) -> tuple[float, bool]:
        """Solve for alpha and tell whether it had to be clipped to its bounds.

        `signal` R* [B] is what the moments of the batch are taken from. Without a spread of R*
        nothing is to be told apart: the lower bound; without one of the losses weighting costs
        nothing: the upper bound.
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
            candidates = np.geomspace(max(self.alpha_min, 1e-3), self.alpha_max, CANDIDATES)
            best = best_alpha(signal, sigma_l, self.lam, candidates)
            return best, best == candidates[0] or best == candidates[-1]
        best = solve_alpha(sigma_r, sigma_l, self.lam, self.iterations)
        clipped = min(max(best, self.alpha_min), self.alpha_max)
        return clipped, clipped != best


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


def best_alpha(signal: Tensor, sigma_l: float, lam: float, candidates: F64) -> float:
    """Choose the candidate [C] that minimises J with the moments of a batch of R* [B].

    J need not be convex, so all candidates are compared.
    """
    returns = signal.detach().cpu().numpy().astype(np.float64)
    scaled = candidates[:, None] * (returns - returns.max())
    weights = np.exp(scaled)
    weights /= weights.sum(axis=1, keepdims=True)
    variance = len(returns) * np.square(weights).sum(axis=1) - 1
    return float(candidates[np.argmin(sigma_l**2 * variance - lam * weights @ returns)])


def softmax_weights(signal: Tensor, alpha: float) -> Tensor:
    """Compute w_i = softmax_i(alpha R*_i) of a batch [B], in log form."""
    return (alpha * signal).log_softmax(0).exp()


def effective_samples(weights: Tensor) -> float:
    """Compute the effective sample size 1 / sum w^2 of weights that sum to 1."""
    return float(1 / weights.square().sum())
