"""An errand: a group goes to a place that words named, at a bounded speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arfm_ros.core.chunks.player import Fade
from arfm_ros.core.safety.limits import F64, Target


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """The way of one group to `goal` [A]; one that `stays` keeps the group until resumed."""

    name: str
    goal: F64
    fades: tuple[Fade, ...]
    stays: bool

    @property
    def end_ns(self) -> int:
        """When the goal is due."""
        return max(fade.end_ns for fade in self.fades)

    def at(self, now_ns: int) -> Target:
        """Return where the way is at `now_ns`."""
        target = Target(self.goal, np.zeros_like(self.goal))
        for fade in self.fades:
            target = fade.add_to(target, now_ns)
        return target
