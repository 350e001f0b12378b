"""How much further the task gets from here on, a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.rewards import TERMS
from arfm_ros.learn.signals.source import F32, Told, register


@register
@dataclass(frozen=True, slots=True)
class Progress:
    """What `task/state` says of progress, to the end of the episode, by remaining step."""

    name: ClassVar[str] = "progress"
    needs_policy: ClassVar[bool] = False

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; NaN where the task reports none."""
        return Told(frames.returns[:, TERMS.index("progress")].astype(np.float64))
