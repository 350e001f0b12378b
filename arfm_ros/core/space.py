"""Where the arm may be, beside its joint limits."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from arfm_ros.core.safety import F64

TOUCH_M = 1e-6  # rounding


class Space(Protocol):
    """A part of the joint space; positions are [..., A], as the limits name them."""

    def depth(self, positions: F64) -> F64:
        """Return how far [...] m each position is outside; 0 or less: inside."""

    def describe(self, position: F64) -> str:
        """Say what a position [A] outside violates."""


class Anywhere:
    """No restriction."""

    def depth(self, positions: F64) -> F64:
        """Return 0 for every position."""
        return np.zeros(positions.shape[:-1])

    def describe(self, position: F64) -> str:
        """Return nothing: no position is outside."""
        return ""


ANYWHERE = Anywhere()


def cut(space: Space, actions: F64, here: F64) -> tuple[F64, str]:
    """Let actions [H, A] end before they leave `space`; return them and why they were cut.

    From outside, what goes no deeper than `here` [A] stays. The reason is '' where nothing was
    cut; with no usable action none is left.
    """
    if space is ANYWHERE:
        return actions, ""
    allowed = max(float(space.depth(here)), 0.0) + TOUCH_M
    outside = space.depth(actions) > allowed
    if not outside.any():
        return actions, ""
    first = int(np.argmax(outside))
    reason = space.describe(actions[first])
    kept = actions.copy()
    kept[first:] = actions[first - 1]
    return kept[: 0 if first == 0 else len(kept)], reason
