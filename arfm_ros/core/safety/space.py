"""Where the arm may be, beside its joint limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import F64

TOUCH_M = 1e-6  # rounding


class Space(Protocol):
    """A part of the joint space; positions are [..., A], as the limits name them."""

    @property
    def reach(self) -> F64:
        """Return [A] by how many m `depth` grows at most for a unit of each axis."""

    def depth(self, positions: F64) -> F64:
        """Return how far [...] m each position is outside; 0 or less: inside."""

    def describe(self, position: F64) -> str:
        """Say what a position [A] outside violates."""


class Anywhere:
    """No restriction."""

    reach = np.zeros(0)

    def depth(self, positions: F64) -> F64:
        """Return 0 for every position."""
        return np.zeros(positions.shape[:-1])

    def describe(self, position: F64) -> str:
        """Return nothing: no position is outside."""
        return ""


ANYWHERE = Anywhere()
LOOK_TICKS = 4  # between two looks at where the arm would come to rest: chunks were looked at


class SpaceGuard:
    """Look now and then at where the arm would come to rest, and say why it has to brake now.

    What is far inside cannot be outside before it has moved that far: it is not looked at again.
    """

    def __init__(self) -> None:
        self._ticks, self._outside = 0, ""
        self._space: Space = ANYWHERE
        self._seen: F64 = np.zeros(0)  # [A] inside, by so many m
        self._free_m = 0.0
        self._of: tuple[object, ...] = ()  # what was asked about last: none of it is ever changed

    def check(self, space: Space, limiter: Limiter) -> str:
        """Return what coming to rest would violate, '' where nothing would be.

        Asked again about the same motion, it says the same and does not look again.
        """
        if space is ANYWHERE or limiter.at_rest():
            return ""
        motion = (space, limiter.limits, limiter.position, limiter.velocity)
        if len(self._of) and all(one is other for one, other in zip(motion, self._of)):
            return self._outside
        self._of = motion
        self._ticks += 1
        if self._ticks % LOOK_TICKS and space is self._space:
            return self._outside
        acceleration = limiter.limits.acceleration
        way = limiter.velocity * np.abs(limiter.velocity) / (2.0 * acceleration)
        rest = limiter.position + way
        if space is self._space and float(np.abs(rest - self._seen) @ space.reach) < self._free_m:
            self._outside = ""
        else:
            self._look(space, rest, limiter.position)
        return self._outside

    def _look(self, space: Space, rest: F64, here: F64) -> None:
        depth = float(space.depth(rest))
        self._space, self._seen, self._free_m = space, rest, -depth
        self._outside = space.describe(rest) if _deeper(space, depth, here) else ""


def _deeper(space: Space, depth: float, here: F64) -> bool:
    """Tell whether a `depth` m is outside, and further than `here` [A] is."""
    return depth > TOUCH_M and depth - max(float(space.depth(here)), 0.0) > TOUCH_M


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


def boxes(what: str, numbers: Sequence[float]) -> list[tuple[F64, F64]]:
    """Read boxes of six numbers each, low x, y, z and high x, y, z in metres."""
    values = np.asarray(numbers, dtype=np.float64)
    if values.size % 6 or not np.isfinite(values).all():
        raise ConfigError(
            f"{what} has {values.size} numbers, needs six a box: low x, y, z, high x, y, z"
        )
    found = [(row[:3], row[3:]) for row in values.reshape(-1, 6)]
    for low, high in found:
        if not (low < high).all():
            raise ConfigError(f"{what}: {low.tolist()} is not below {high.tolist()}")
    return found
