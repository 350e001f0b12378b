"""A critic of whole chunks: Q(o, chunk) by temporal differences, with a backup over the chunk."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.heads import Fit, checked, expectile_loss, folds_of, mlp
from arfm_ros.learn.signals.source import F32, F64, Told, episodes_of, register, seconds
from arfm_ros.learn.signals.time_to_success import left_until_success

SLOWLY = 0.02  # share of the target that follows at a step


@register
@dataclass(frozen=True, slots=True)
class ChunkTd:
    """Q(o, chunk) - V(o) of an implicit Q-learning whose action is the chunk (CO-RFT, 2025).

    The reward is 1 at the success. The backup goes over the time that the chunk is played:
    Q(o_t, c) = exp(-time to a success within it / tau), else exp(-chunk / tau) V(o_t+chunk).
    """

    tau_s: float = 4.0
    chunk_s: float = 0.4  # how long a chunk is played before the next one
    expectile: float = 0.7
    steps: int = 1500
    seed: int = 0
    name: ClassVar[str] = "chunk_td"
    needs_policy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.chunk_s > 0 or not self.tau_s > 0 or not 0 < self.expectile < 1:
            raise ConfigError(
                f"chunk_s {self.chunk_s}, tau_s {self.tau_s}, expectile {self.expectile}: need "
                "> 0, > 0 and 0..1"
            )

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN in an episode without a label."""
        known = (frames.success >= 0)[frames.episode]
        if not known.any():
            raise EpisodeError("no episode has a label: a critic needs success or failure")
        steps, fit = self._steps(frames), Fit(steps=self.steps, seed=self.seed)
        inputs = np.concatenate([features, scaled(frames)], axis=1).astype(np.float32)
        q, v = np.full(len(frames), np.nan), np.full(len(frames), np.nan)
        for learned, judged in folds_of(frames.episode.astype(np.int64), fit):
            critic, value = self._fitted(inputs, features, steps, learned[known[learned]], fit)
            with torch.no_grad():
                q[judged] = critic(torch.from_numpy(inputs[judged]))[:, 0].double().numpy()
                v[judged] = value(torch.from_numpy(features[judged]))[:, 0].double().numpy()
        for one in (q, v):
            checked(one, np.array([0.0, 1.0]))
        return Told(np.where(known, q - v, np.nan), {"q": q, "value": v})

    def _steps(self, frames: Frames) -> tuple[F64, np.ndarray, F64]:
        """Return reward [N], the row after the chunk [N] and what its value counts [N]."""
        time_s, left = seconds(frames), left_until_success(frames)
        reward, after = np.zeros(len(frames)), np.arange(len(frames))
        goes_on = np.zeros(len(frames))
        for e, rows in enumerate(episodes_of(frames)):
            if not len(rows):
                continue
            due = time_s[rows] + self.chunk_s
            at = np.searchsorted(time_s[rows], due).clip(max=len(rows) - 1)
            wins = (frames.success[e] == 1) & (left[rows] <= self.chunk_s)
            reward[rows] = np.where(wins, np.exp(-left[rows] / self.tau_s), 0.0)
            ends = time_s[rows[-1]] < due  # a failure ends in nothing
            goes_on[rows] = np.where(wins | ends, 0.0, np.exp(-self.chunk_s / self.tau_s))
            after[rows] = rows[at]
        return reward, after, goes_on

    def _fitted(
        self,
        inputs: F32,
        features: F32,
        steps: tuple[F64, np.ndarray, F64],
        rows: np.ndarray,
        fit: Fit,
    ) -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(fit.seed)
        reward, after, goes_on = (torch.from_numpy(one) for one in steps)
        both, seen = torch.from_numpy(inputs), torch.from_numpy(features)
        critic = mlp(inputs.shape[1], fit.width, 1)
        value = mlp(features.shape[1], fit.width, 1)
        slow = deepcopy(critic)
        parts = [*critic.parameters(), *value.parameters()]
        optimizer = torch.optim.AdamW(parts, fit.rate, weight_decay=fit.decay)
        rng = np.random.default_rng((fit.seed, len(rows)))
        for _ in range(fit.steps):
            chosen = torch.from_numpy(rng.choice(rows, min(fit.batch, len(rows)), replace=False))
            with torch.no_grad():
                ahead = value(seen[after[chosen]])[:, 0]
                target = (reward[chosen] + goes_on[chosen] * ahead).float()
                wanted: Tensor = slow(both[chosen])[:, 0]
            error = target - critic(both[chosen])[:, 0]
            apart = wanted - value(seen[chosen])[:, 0]
            optimizer.zero_grad()
            (error.square().mean() + expectile_loss(apart, self.expectile)).backward()
            optimizer.step()
            with torch.no_grad():
                for mine, its in zip(slow.parameters(), critic.parameters()):
                    mine.lerp_(its, SLOWLY)
        return critic.eval(), value.eval()


def scaled(frames: Frames) -> F32:
    """Return the chunks [N, H * A] from where the arm was, each value by its spread."""
    chunk = frames.chunk.astype(np.float64)
    moved = chunk - chunk[:, :1]
    flat = np.concatenate([chunk[:, 0], moved[:, 1:].reshape(len(chunk), -1)], axis=1)
    spread = np.maximum(flat.std(axis=0), 1e-6)
    return ((flat - flat.mean(axis=0)) / spread).astype(np.float32)
