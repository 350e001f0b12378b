"""The loop that turns noise into a chunk, the same for every kind of policy.

What differs between flow, diffusion and regression is a solver: what the network is told before
each step, and what its output makes of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from arfm_ros.core.errors import Cancelled, EngineError
from arfm_ros.core.values.data import F32

Field = Callable[[F32, float], F32]  # (x [H, A], t) -> the network's output [H, A]


class Solver(Protocol):
    """One way from noise to a chunk in a number of steps."""

    @property
    def times(self) -> Sequence[float]:
        """What the network is told as t, step by step."""
        ...

    @property
    def strides(self) -> int:
        """How many steps x takes in all: fewer than `times` where one needs several outputs."""
        ...

    def step(self, x: F32, output: F32, i: int, finish: bool) -> F32:
        """Return the x after step `i`; with `finish` that of the end, however far it is."""
        ...


@dataclass(frozen=True, slots=True)
class Integration:
    """Result of `solve`: the sample, the steps really taken, and every x_t on request."""

    sample: F32  # [H, A], normalised
    steps: int
    trace: tuple[F32, ...] = ()


def solve(
    solver: Solver,
    field: Field,
    noise: F32,
    *,
    out_of_time: Callable[[int], bool] | None = None,
    cancelled: Callable[[], bool] | None = None,
    keep_trace: bool = False,
) -> Integration:
    """Lead `noise` [H, A] through the steps of `solver`; x stays float32 whatever `field` gives.

    `out_of_time(steps_left)` is asked after each step; when it says yes, one last step finishes
    the chunk. `cancelled()` is asked before each step; when it says yes, `Cancelled` is raised.
    Raises `EngineError` when the network's output is not finite.
    """
    x = np.asarray(noise, dtype=np.float32)
    trace, count = [x], len(solver.times)
    for i, t in enumerate(solver.times):
        left = count - i
        finish = i > 0 and left > 1 and out_of_time is not None and out_of_time(left)
        if cancelled is not None and cancelled():
            raise Cancelled(f"cancelled before step {i + 1} of {count}")
        output = np.asarray(field(x, t), dtype=np.float32)
        if not np.isfinite(output).all():
            raise EngineError(f"network's output is not finite at t = {t:.3f}: chunk discarded")
        x = np.asarray(solver.step(x, output, i, finish), dtype=np.float32)
        trace.append(x)
        if finish:
            break
    return Integration(x, len(trace) - 1, tuple(trace) if keep_trace else ())


def check_steps(steps: int, most: int | None = None) -> int:
    """Return `steps`. Raises `EngineError` for less than one or more than `most`."""
    if steps < 1:
        raise EngineError(f"steps is {steps}, needs to be at least 1")
    if most is not None and steps > most:
        raise EngineError(f"steps is {steps}, the policy has {most} levels of noise: at most that")
    return steps
