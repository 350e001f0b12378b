"""A network that gives the actions at once, as ACT does (Zhao et al. 2023): no noise, no steps."""

from __future__ import annotations

from arfm_ros.core.values.data import F32


class Regression:
    """Take the network's output as it is."""

    def __init__(self) -> None:
        self.times, self.strides = (0.0,), 1

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Return the actions."""
        return output
