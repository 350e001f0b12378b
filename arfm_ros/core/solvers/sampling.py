"""From a specification's sampler to the solver that runs it."""

from __future__ import annotations

from arfm_ros.core.solvers.ddim import Ddim
from arfm_ros.core.solvers.ddpm import Ddpm
from arfm_ros.core.solvers.flow import Euler
from arfm_ros.core.solvers.regression import Regression
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.solvers.solver import Solver
from arfm_ros.core.values.data import F32


def make_solver(sampler: Sampler, steps: int, noise: F32) -> Solver:
    """Make the solver of a chunk that begins with `noise` [H, A].

    A regression takes one step whatever `steps` says. Raises `EngineError` for a number of steps
    that the sampler cannot take.
    """
    match sampler.kind:
        case "flow":
            return Euler(steps)
        case "ddim":
            return Ddim(sampler, steps)
        case "ddpm":
            return Ddpm(sampler, steps, noise)
        case _:
            return Regression()
