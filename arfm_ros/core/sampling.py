"""From a specification's sampler to the solver that runs it."""

from __future__ import annotations

from arfm_ros.core.data import F32
from arfm_ros.core.ddim import Ddim
from arfm_ros.core.ddpm import Ddpm
from arfm_ros.core.flow import Euler
from arfm_ros.core.regression import Regression
from arfm_ros.core.sampler import Sampler
from arfm_ros.core.solver import Solver


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
