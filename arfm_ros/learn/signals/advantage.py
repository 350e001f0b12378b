"""How much better it went than was to be expected: Monte-Carlo return less a learned value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.heads import Fit, distribution_values, expectile_values
from arfm_ros.learn.signals.source import F32, Told, register
from arfm_ros.learn.signals.time_to_success import TimeToSuccess

KINDS = ("distribution", "expectile")


@register
@dataclass(frozen=True, slots=True)
class Advantage:
    """G(o) - V(o): G the discounted time to success, V what heads expect that never saw it.

    `distribution`: the mean of a distribution over bins, as in pi*0.6 (RECAP, 2025).
    `expectile`: an expectile of the return, as in IQL (Kostrikov et al. 2021).
    """

    kind: str = "distribution"
    tau_s: float = 4.0
    limit_s: float = 20.0
    expectile: float = 0.5  # 0.5 is the mean
    steps: int = 1500
    seed: int = 0
    name: ClassVar[str] = "advantage"
    needs_policy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not 0 < self.expectile < 1:
            raise ConfigError(
                f"kind '{self.kind}', expectile {self.expectile}: need one of {', '.join(KINDS)}, "
                "and 0..1"
            )

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN in an episode without a label."""
        returns = TimeToSuccess(self.tau_s, self.limit_s, "rest").tell(frames, features).values
        if not np.isfinite(returns).any():
            raise EpisodeError("no episode has a label: an advantage needs success or failure")
        fit = Fit(steps=self.steps, seed=self.seed)
        episode = frames.episode.astype(np.int64)
        if self.kind == "expectile":
            values = expectile_values(features, returns, episode, self.expectile, fit)
        else:
            values = distribution_values(features, returns, episode, fit)
        return Told(returns - values, {"return": returns, "value": values})
