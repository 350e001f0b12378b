"""A whole chunk by one graph: the host gives noise and steps, and is not asked in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from arfm_ros.core.errors import EngineError
from arfm_ros.core.solvers.flow import Euler
from arfm_ros.core.solvers.solver import Integration, Solver
from arfm_ros.core.values.data import F32
from arfm_ros.engines.runtimes.graph import Array, Graph

SLOWER = 2.0  # that a chunk may take of what the last one took, where it has to be in time


class WholeChunk:
    """chunk.onnx or chunk_rtc.onnx for one observation, and one chunk to follow."""

    def __init__(self, graph: Graph, fixed: Mapping[str, Array]) -> None:
        self._run = graph.bind(fixed)

    def trace(self, noise: F32, times: Sequence[float], sizes: Sequence[float]) -> F32:
        """Go `sizes[i]` along the velocity at `times[i]`, in turn; x [S, H, A] after each.

        Raises `EngineError` for values that are not finite, or not of that shape.
        """
        at, far = (np.asarray(one, dtype=np.float32) for one in (times, sizes))
        found = self._run({"noise": noise[None], "times": at, "sizes": far})
        shapes, wanted = [one.shape for one in found.values()], (len(at), *noise.shape)
        if shapes != [wanted]:
            raise EngineError(f"the network gives {shapes[:4]}, the policy needs one {wanted}")
        (trace,) = found.values()
        if not np.isfinite(trace).all():
            t = at[int(np.isfinite(trace).all(axis=(1, 2)).argmin())]
            raise EngineError(f"network's output is not finite at t = {t:.3f}: chunk discarded")
        return np.asarray(trace, dtype=np.float32)

    def velocity(self, x: F32, t: float) -> F32:
        """Return v(x [H, A], t): a step of size 1, without its beginning. For checks."""
        return np.asarray(self.trace(x, (t,), (1.0,))[-1] - x, dtype=np.float32)

    def solve(self, solver: Solver, noise: F32) -> Integration:
        """Do what `core.solvers.solver.solve` does with a solver that `takes` accepts."""
        assert isinstance(solver, Euler)
        trace = self.trace(noise, solver.times, solver.sizes)
        return Integration(trace[-1], len(trace))


def takes(solver: Solver) -> bool:
    """Tell whether a solver's steps depend on nothing but the velocity where x is."""
    return isinstance(solver, Euler)


class Pace:
    """What a step lately took: whether a chunk that cannot be cut short will be in time."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock, self._step_ns = clock, 0.0

    def fits(self, steps: int, deadline_ns: int | None) -> bool:
        """Tell whether there is time for a chunk; without a measured step there is not."""
        if deadline_ns is None:
            return True
        need_ns = SLOWER * steps * self._step_ns
        return self._step_ns > 0 and self._clock() + need_ns <= deadline_ns

    def took(self, steps: int, begin_ns: int) -> None:
        """Note a chunk that began at `begin_ns` and is done."""
        self._step_ns = (self._clock() - begin_ns) / max(steps, 1)
