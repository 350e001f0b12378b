"""Learning rates over a run."""

from __future__ import annotations

import math

LOWEST = 0.01  # of the highest


def warm_then_cosine(highest: float, progress: float, warm_up: float) -> float:
    """Return the rate at `progress` 0..1: linear warm-up, then a cosine down to a hundredth."""
    if progress < warm_up:
        return highest * (LOWEST + progress / warm_up)
    done = min(1.0, (progress - warm_up) / (1 - warm_up))
    return highest * (LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * done)))
