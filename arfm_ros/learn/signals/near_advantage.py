"""What the next second was worth, beside what it is worth from there to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.heads import Fit, distribution_values
from arfm_ros.learn.signals.source import F32, F64, Told, episodes_of, register, seconds
from arfm_ros.learn.signals.time_to_success import TimeToSuccess, left_until_success

SEEN = ("context", "state")


@register
@dataclass(frozen=True, slots=True)
class NearAdvantage:
    """exp(-over_s / tau) V(o') - V(o), in deviations of observations that are worth as much.

    V is the learned value of `advantage`. Three things differ from it. What comes after `over_s`
    does not count: of an episode that is good in one part and bad in another each part is judged
    for itself, where the return G(o) has the time of all that follows. Its deviation is that of
    the same task at the same level of V, of `levels` equal shares: an error of V near the end of
    a task is not taken for merit. And it ends at `most` deviations either way, because a softmax
    gives a long tail all the weight.
    """

    over_s: float = 1.0
    tau_s: float = 4.0
    limit_s: float = 20.0
    levels: int = 12
    most: float = 1.5
    see: str = "context"  # of the policy, its state among it; or "state", the state and the task
    steps: int = 1500
    seed: int = 0
    name: ClassVar[str] = "near_advantage"

    @property
    def needs_policy(self) -> bool:
        """Whether it looks at the context of a policy."""
        return self.see == "context"

    def __post_init__(self) -> None:
        if self.see not in SEEN:
            raise ConfigError(f"see '{self.see}', needs one of {', '.join(SEEN)}")

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN in an episode without a label, 0 once it has succeeded."""
        returns = TimeToSuccess(self.tau_s, self.limit_s, "rest").tell(frames, features).values
        if not np.isfinite(returns).any():
            raise EpisodeError("no episode has a label: an advantage needs success or failure")
        fit = Fit(steps=self.steps, seed=self.seed)
        seen = features if self.see == "context" else state_and_task(frames)
        values = distribution_values(seen, returns, frames.episode.astype(np.int64), fit)
        gain = self._until(frames, returns, values) - values
        over = left_until_success(frames) <= 0
        found = np.where(over, 0.0, self._levelled(frames, np.where(over, np.nan, gain), values))
        known = np.isfinite(returns)
        return Told(np.where(known, found, np.nan), {"return": returns, "value": values})

    def _until(self, frames: Frames, returns: F64, values: F64) -> F64:
        """Give the discounted value `over_s` later [N], or the return where it ends before."""
        time_s, found = seconds(frames), returns.copy()
        for rows in episodes_of(frames):
            at = np.searchsorted(time_s[rows], time_s[rows] + self.over_s)
            begin = np.flatnonzero(at < len(rows))
            later = rows[at[begin]]
            wait_s = time_s[later] - time_s[rows[begin]]
            found[rows[begin]] = np.exp(-wait_s / self.tau_s) * values[later]
        return found

    def _levelled(self, frames: Frames, gain: F64, values: F64) -> F64:
        """Give deviations within the levels of V of each task, at most `most` of them."""
        found = np.full(len(gain), np.nan)
        task = frames.task_numbers[frames.episode]
        for number in np.unique(task):
            rows = np.flatnonzero((task == number) & np.isfinite(gain))
            if not len(rows):
                continue
            shares = np.linspace(0.0, 1.0, self.levels + 1)[1:-1]
            level = np.searchsorted(np.quantile(values[rows], shares), values[rows])
            for one in np.unique(level):
                same = rows[level == one]
                found[same] = (gain[same] - gain[same].mean()) / max(gain[same].std(), 1e-9)
        return np.clip(found, -self.most, self.most)


def state_and_task(frames: Frames) -> F32:
    """Return the state [N, S] in deviations, and which task it is [N, T]."""
    state = frames.state.astype(np.float64)
    state = (state - state.mean(axis=0)) / np.maximum(state.std(axis=0), 1e-6)
    which = np.eye(int(frames.task_numbers.max(initial=0)) + 1)[
        frames.task_numbers[frames.episode]
    ]
    return np.concatenate([state, which], axis=1).astype(np.float32)
