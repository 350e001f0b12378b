"""From a specification's sampler to the solver that runs it."""

from __future__ import annotations

from collections.abc import Callable

from arfm_ros.core.solvers.adams_bashforth import AdamsBashforth
from arfm_ros.core.solvers.ddim import Ddim
from arfm_ros.core.solvers.ddpm import Ddpm
from arfm_ros.core.solvers.flow import Euler
from arfm_ros.core.solvers.heun import Heun
from arfm_ros.core.solvers.midpoint import Midpoint
from arfm_ros.core.solvers.regression import Regression
from arfm_ros.core.solvers.renoise import Renoise
from arfm_ros.core.solvers.sampler import RENOISE, Sampler
from arfm_ros.core.solvers.solver import Solver
from arfm_ros.core.solvers.unmask import Unmask
from arfm_ros.core.values.data import F32

FLOWS: dict[str, Callable[[int], Solver]] = {
    "euler": Euler,
    "ab2": AdamsBashforth,
    "midpoint": Midpoint,
    "heun": Heun,
}


def make_solver(sampler: Sampler, steps: int, noise: F32) -> Solver:
    """Make the solver of a chunk that begins with `noise` [H, A].

    A regression takes one step whatever `steps` says. Raises `EngineError` for a number of steps
    that the sampler cannot take.
    """
    sampler.check_count(steps)
    match sampler.kind:
        case "flow" if sampler.solver == RENOISE:
            return Renoise(steps, noise)
        case "flow":
            return FLOWS[sampler.solver](steps)
        case "ddim":
            return Ddim(sampler, steps)
        case "ddpm":
            return Ddpm(sampler, steps, noise)
        case "masked":
            return Unmask(steps)
        case _:
            return Regression()
