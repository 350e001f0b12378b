"""How smoothly the commands go on: less acceleration is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.source import F32, Told, episodes_of, register

FLOOR = 1e-4  # rad per step squared: below it nothing moves


@register
@dataclass(frozen=True, slots=True)
class Smoothness:
    """Minus the logarithm of the mean squared second difference of an observation's chunk."""

    name: ClassVar[str] = "smoothness"
    needs_policy: ClassVar[bool] = False

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it from the chunks [N, H, A] themselves; standing still is not smooth.

        An observation whose chunk does not move is told nothing of: NaN.
        """
        bend = np.diff(frames.chunk.astype(np.float64), n=2, axis=1)
        moved = np.abs(frames.chunk[:, -1] - frames.chunk[:, 0]).max(axis=1)
        value = -np.log(np.square(bend).mean(axis=(1, 2)) + FLOOR**2)
        value[moved < FLOOR] = np.nan
        for rows in episodes_of(frames):  # an episode that never moves has no value at all
            if len(rows) and not np.isfinite(value[rows]).any():
                value[rows] = np.nan
        return Told(value)
