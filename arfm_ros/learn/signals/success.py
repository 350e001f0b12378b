"""Whether the episode succeeded: the signal of a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.source import F32, Told, register


@register
@dataclass(frozen=True, slots=True)
class Success:
    """1 in an episode that succeeded, 0 in one that failed."""

    name: ClassVar[str] = "success"
    needs_policy: ClassVar[bool] = False

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN in an episode without a label."""
        success = frames.success[frames.episode].astype(np.float64)
        return Told(np.where(success < 0, np.nan, success))
