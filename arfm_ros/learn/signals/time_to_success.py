"""How soon the episode succeeds: exp(-time / tau), a failure as late as the limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.rewards import TERMS
from arfm_ros.learn.signals.source import (
    F32,
    F64,
    Told,
    episodes_of,
    register,
    seconds_left,
)

SPANS = ("episode", "rest")


@register
@dataclass(frozen=True, slots=True)
class TimeToSuccess:
    """A reward of 1 at the success, discounted by the time until then.

    Of the whole episode by default. The return-to-go (`of=rest`) is higher the later in an episode
    an observation is: as a weight it has the policy learn the ends of episodes and not the
    beginnings. It is what an advantage is made of, which takes off what was to be expected.
    """

    tau_s: float = 4.0
    limit_s: float = 20.0  # a failure counts as a success that late
    of: str = "episode"  # or "rest", from the observation on
    name: ClassVar[str] = "time_to_success"
    needs_policy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.tau_s > 0 or not self.limit_s > 0:
            raise ConfigError(f"tau_s {self.tau_s}, limit_s {self.limit_s}: both need > 0")
        if self.of not in SPANS:
            raise ConfigError(f"of '{self.of}', needs one of {', '.join(SPANS)}")

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN in an episode without a label."""
        success = frames.success[frames.episode]
        rest = left_until_success(frames)
        if self.of == "episode":
            for rows in episodes_of(frames):
                rest[rows] = rest[rows].max(initial=0.0)
        left = np.where(success == 1, rest, self.limit_s)
        value = np.exp(-np.minimum(left, self.limit_s) / self.tau_s)
        return Told(np.where(success < 0, np.nan, value), {"seconds_left": left})


def left_until_success(frames: Frames) -> F64:
    """Return the time [N] until success came to stay, 0 from then on.

    The reward of that step, 1, over the steps that remain tells how many they are; of a cache
    without it, it is the time to the episode's end.
    """
    share = frames.returns[:, TERMS.index("steps_to_success")].astype(np.float64)
    left = seconds_left(frames)
    known = np.isfinite(share) & (share > 0)
    steps = np.where(known, 1.0 / np.where(known, share, 1.0) - 1.0, np.nan)
    per_step = _period(frames)
    return np.where(known, np.minimum(steps * per_step, left), left)


def _period(frames: Frames) -> float:
    left = seconds_left(frames)
    steps = -np.diff(left)[np.diff(frames.episode) == 0]
    return float(np.median(steps)) if len(steps) else 0.0
