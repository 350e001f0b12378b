"""A disturbance of what a policy does: Gaussian noise on every executed action."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arfm_ros.core.safety.limits import F64, Limits
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.spec import PolicySpec


class ActionNoise:
    """Noise of one episode: a row of normal numbers for each control tick.

    The row belongs to the tick in which an action is due, whichever chunk it comes from: the same
    seed disturbs every policy alike, and a hand-over from one chunk to the next adds no step.
    `std` is in units of the policy's normalised action: times the scale of the chunk's first
    action, which is what one control step moves. Zhang et al. 2025 (arXiv 2509.04063) report
    robustness to action noise; whether theirs is defined so is not known to us.
    """

    def __init__(self, std: float, spec: PolicySpec, limits: Limits, seed: int) -> None:
        self._size: F64 = std * np.broadcast_to(spec.action_norm.scale, spec.action_shape)[0]
        self._limits = limits
        self._random = np.random.default_rng([seed, 2])
        self._rows: F64 = np.empty((0, len(spec.action)))  # [ticks so far, A], standard normal

    def on(self, chunk: ActionChunk) -> ActionChunk:
        """Return `chunk` with its noise; none that would carry an action beyond its limits."""
        if not self._size.any():
            return chunk
        ticks = np.array([chunk.due_ns(k) // chunk.dt_ns for k in range(chunk.horizon)])
        noisy = chunk.actions + self._size * self._at(ticks)
        low = np.minimum(self._limits.low, chunk.actions)  # what the policy itself exceeds stays
        high = np.maximum(self._limits.high, chunk.actions)
        return replace(chunk, actions=np.clip(noisy, low, high).astype(np.float32))

    def _at(self, ticks: np.ndarray[tuple[int], np.dtype[np.int64]]) -> F64:
        missing = int(ticks.max()) + 1 - len(self._rows)
        if missing > 0:
            drawn = self._random.standard_normal((missing, self._rows.shape[1]))
            self._rows = np.concatenate([self._rows, drawn])
        return self._rows[ticks]
