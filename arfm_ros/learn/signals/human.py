"""What a person showed: what they took over from was poor, what they did instead was good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.signals.source import F32, Told, episodes_of, register, seconds


@register
@dataclass(frozen=True, slots=True)
class Human:
    """1 where a human commands, -1 in the time before they take over, else 0."""

    blame_s: float = 1.0
    name: ClassVar[str] = "human"
    needs_policy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.blame_s < 0:
            raise ConfigError(f"blame_s {self.blame_s}: needs 0 or more")

    def tell(self, frames: Frames, features: F32) -> Told:
        """Compute it; without any human it is 0 throughout, and said so."""
        value, time_s = frames.human.astype(np.float64), seconds(frames)
        for rows in episodes_of(frames):
            human = frames.human[rows]
            begins = time_s[rows[1:]][human[1:] & ~human[:-1]]
            ahead = begins[None] - time_s[rows][:, None]
            blamed = ~human & ((ahead > 0) & (ahead <= self.blame_s)).any(axis=1)
            value[rows[blamed]] = -1.0
        notes = () if frames.human.any() else ("nobody took over in these episodes",)
        return Told(value, notes=notes)
