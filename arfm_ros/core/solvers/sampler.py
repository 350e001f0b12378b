"""How a policy's network makes a chunk of noise: a value of the specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from arfm_ros.core.errors import EngineError, SpecError
from arfm_ros.core.solvers.solver import check_steps
from arfm_ros.core.values.data import F32

KINDS = ("flow", "ddim", "ddpm", "regression", "masked")
DIFFUSION = ("ddim", "ddpm")
PREDICTIONS = ("epsilon", "sample", "v_prediction")
SOLVERS = ("euler", "ab2", "midpoint", "heun")  # of a flow
RENOISE = "renoise"  # of a flow that was trained to predict actions, as X-VLA samples


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """The kind, and for diffusion the schedule of noise that the network was trained with.

    `alphas_cumprod[k]` is the share of the signal's variance that is left at level k of the noise
    (alpha bar of Ho et al. 2020): x_k = sqrt(alpha) clean + sqrt(1 - alpha) noise. The network is
    told k as t and predicts the noise (epsilon), the clean actions (sample), or sqrt(alpha) noise
    - sqrt(1 - alpha) clean (v_prediction). A predicted clean action is clipped to +- `clip`, with
    a flow the one that it ends with; 0: never. A flow that was distilled knows no other count of
    steps than `only_steps`; 0: any.
    """

    kind: str = "flow"
    alphas_cumprod: F32 = field(default_factory=lambda: np.zeros(0, np.float32))  # [T]
    prediction: str = "epsilon"
    clip: float = 0.0
    solver: str = "euler"  # of a flow; a step count is of the network's evaluations
    only_steps: int = 0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("kind", self.kind, KINDS),
            ("prediction", self.prediction, PREDICTIONS),
            ("solver", self.solver, (*SOLVERS, RENOISE) if self.kind == "flow" else SOLVERS[:1]),
        ):
            if value not in known:
                raise SpecError(f"sampler {what} '{value}', needs one of {', '.join(known)}")
        alphas = self.alphas_cumprod
        if (alphas.size > 0) != (self.kind in DIFFUSION):
            raise SpecError(f"sampler '{self.kind}' has {alphas.size} levels of noise")
        inside = np.isfinite(alphas).all() and (alphas > 0).all() and (alphas < 1).all()
        if alphas.ndim != 1 or not inside or not (np.diff(alphas) < 0).all():
            raise SpecError("sampler's alphas_cumprod need to fall, between 1 and 0")
        if not 0 <= self.clip < float("inf"):
            raise SpecError(f"sampler's clip is {self.clip}, needs a bound, or 0 for none")
        if self.only_steps and (self.kind, self.solver) != ("flow", SOLVERS[0]):
            raise SpecError(
                f"a distilled policy is a flow solved by {SOLVERS[0]}, this is {self.kind} "
                f"by {self.solver}"
            )

    def check_count(self, steps: int) -> None:
        """Raise `EngineError` for a count of steps that a distilled flow does not know."""
        if self.only_steps not in (0, steps):
            raise EngineError(
                f"{steps} steps of a policy that was distilled to {self.only_steps}: it knows no "
                "other count; take the policy that it was made of"
            )

    def levels(self, steps: int) -> tuple[int, ...]:
        """Choose the level of noise of each step: equally far apart, the last one 0 ("leading").

        Raises `EngineError` for more steps than levels.
        """
        apart = len(self.alphas_cumprod) // check_steps(steps, len(self.alphas_cumprod))
        return tuple(apart * i for i in reversed(range(steps)))

    def next_level(self, levels: Sequence[int], i: int, finish: bool) -> int:
        """Return the level after step `i` of `levels`; -1 is no noise at all."""
        return -1 if finish or i + 1 == len(levels) else levels[i + 1]

    def signal(self, level: int) -> np.float32:
        """Return alphas_cumprod at `level`; 1 at -1."""
        alpha: np.float32 = self.alphas_cumprod[level] if level >= 0 else np.float32(1)
        return alpha

    def split(self, x: F32, output: F32, level: int) -> tuple[F32, F32]:
        """Take x apart into clean actions, clipped, and noise, by the network's `output`."""
        alpha = self.signal(level)
        signal, noise = np.sqrt(alpha), np.sqrt(np.float32(1) - alpha)
        if self.prediction == "epsilon":
            clean, epsilon = (x - noise * output) / signal, output
        elif self.prediction == "sample":
            clean, epsilon = output, (x - signal * output) / noise
        else:
            clean, epsilon = signal * x - noise * output, signal * output + noise * x
        return self.bounded(clean), np.asarray(epsilon, dtype=np.float32)

    def bounded(self, clean: F32) -> F32:
        """Clip normalised actions."""
        found = np.clip(clean, -self.clip, self.clip) if self.clip else clean
        return np.asarray(found, dtype=np.float32)
