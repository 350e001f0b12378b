"""The flow integration loop on the host: x, t and dt stay float32 whatever the engine does.

Time runs from 0 (noise) to 1 (action) and the velocity field is u = action - noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.data import F32
from arfm_ros.core.errors import Cancelled, EngineError

Velocity = Callable[[F32, float], F32]  # (x [H, A], t) -> v [H, A]
Clock = Callable[[], int]  # -> ns


@dataclass(frozen=True, slots=True)
class Integration:
    """Result of `integrate`: the sample, the steps really taken, and every x_t on request."""

    sample: F32  # [H, A], normalised
    steps: int
    trace: tuple[F32, ...] = ()


def integrate(
    velocity: Velocity,
    noise: F32,
    steps: int,
    *,
    out_of_time: Callable[[int], bool] | None = None,
    cancelled: Callable[[], bool] | None = None,
    keep_trace: bool = False,
) -> Integration:
    """Integrate dx/dt = velocity(x, t) from `noise` [H, A] at t = 0 to t = 1 by Euler steps.

    `out_of_time(steps_left)` is asked after each step; when it says yes, one last step of the
    remaining size finishes the chunk. `cancelled()` is asked before each step; when it says yes,
    `Cancelled` is raised. Raises `EngineError` on a non-finite velocity.
    """
    if steps < 1:
        raise EngineError(f"steps is {steps}, needs to be at least 1")
    x = np.asarray(noise, dtype=np.float32)
    t, dt = np.float32(0.0), np.float32(1.0 / steps)
    trace = [x]
    taken = 0
    while taken < steps:
        left = steps - taken
        hurry = taken > 0 and left > 1 and out_of_time is not None and out_of_time(left)
        step_size = np.float32(1.0) - t if hurry else dt
        if cancelled is not None and cancelled():
            raise Cancelled(f"cancelled before flow step {taken + 1} of {steps}")
        v = velocity(x, float(t))
        if not np.isfinite(v).all():
            raise EngineError(f"velocity is not finite at t = {float(t):.3f}: chunk discarded")
        x = np.asarray(x + step_size * v, dtype=np.float32)
        trace.append(x)
        taken += 1
        t = np.float32(taken) * dt
        if hurry:
            break
    return Integration(x, taken, tuple(trace) if keep_trace else ())
