"""Discrete diffusion over bins of actions: the surest are decided first, the others stay masked.

Cosine schedule and confidence as in MaskGIT (Chang et al. 2022), which Discrete Diffusion VLA
(Liang et al. 2025) takes for action tokens; the likeliest bin is taken, nothing is drawn, and
what was decided is not masked again. x is [H, 2 A]: the values of the actions' bins, then a flag
for each, 0 where it is decided. The network's output is [H, 2 A] too: the value of the likeliest
bin, then how likely it is.
"""

from __future__ import annotations

import math

import numpy as np

from arfm_ros.core.solvers.solver import check_steps
from arfm_ros.core.values.data import F32

MASKED = np.float32(1.0)


class Unmask:
    """Decide all actions of a chunk in a number of steps; noise, which is never 0, is masked."""

    def __init__(self, steps: int) -> None:
        check_steps(steps)
        self.times = tuple(i / steps for i in range(steps))
        self.strides = steps

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Decide the likeliest of the masked actions; all that are left with `finish`."""
        width = x.shape[1] // 2
        decided = x[:, width:] == 0
        left = int((~decided).sum())
        after = 0 if finish else min(masked_after(i, len(self.times), decided.size), left - 1)
        sure = np.where(decided, np.float32(-np.inf), output[:, width:])
        order = np.argsort(-sure, axis=None, kind="stable")[: left - max(after, 0)]
        chosen = np.zeros(decided.size, np.bool_)
        chosen[order] = True
        chosen = chosen.reshape(decided.shape)
        values = np.where(decided, x[:, :width], np.where(chosen, output[:, :width], 0))
        flags = np.where(decided | chosen, np.float32(0), MASKED)
        return np.asarray(np.concatenate([values, flags], axis=1), dtype=np.float32)


def masked_after(i: int, steps: int, count: int) -> int:
    """Return how many of `count` are still masked after step `i`: cosine schedule, 0 at last."""
    return math.floor(count * math.cos(math.pi / 2 * (i + 1) / steps) + 1e-9)
