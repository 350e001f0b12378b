"""X-VLA's sampler against its published loop, in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.errors import EngineError, SpecError
from arfm_ros.core.solvers.sampler import RENOISE, Sampler
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import solve

SHAPE = (6, 4)
MIX = np.random.default_rng(5).standard_normal((4, 4)) / 2


def network(x: np.ndarray, u: float) -> np.ndarray:
    """Predict actions from x at time u, which runs from 1 (noise) to 0."""
    return np.tanh(x @ MIX + u) + 0.3


def wanted(noise: np.ndarray, steps: int) -> np.ndarray:
    actions = np.zeros_like(noise)
    for i in range(steps, 0, -1):
        u = i / steps
        actions = network(noise * u + actions * (1 - u), u)
    return actions


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 33])
def test_the_chunk_is_the_loop_s(steps: int) -> None:
    noise = np.random.default_rng(steps).standard_normal(SHAPE)
    sampler = Sampler(solver=RENOISE)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return (network(x, 1 - t) - x) / (1 - t)

    found = solve(make_solver(sampler, steps, noise), velocity, noise)
    np.testing.assert_allclose(found.sample, wanted(noise, steps), atol=2e-6)
    assert found.steps == steps
    euler = solve(make_solver(Sampler(), steps, noise), velocity, noise).sample
    # the first step is a straight line for both, the last one ends at the prediction
    assert (np.abs(euler - found.sample).max() > 1e-3) == (steps > 2)


def test_the_end_is_the_prediction_at_hand_when_time_is_out() -> None:
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    seen = []

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        seen.append(network(x, 1 - t))
        return (seen[-1] - x) / (1 - t)

    solver = make_solver(Sampler(solver=RENOISE), 10, noise)
    found = solve(solver, velocity, noise, out_of_time=lambda left: left <= 7)
    assert found.steps == 4
    np.testing.assert_allclose(found.sample, seen[-1], atol=2e-6)


def test_it_is_a_flow_s_and_takes_a_step_or_more() -> None:
    with pytest.raises(SpecError, match="solver 'renoise', needs one of euler"):
        Sampler("regression", solver=RENOISE)
    with pytest.raises(EngineError, match="steps is 0"):
        make_solver(Sampler(solver=RENOISE), 0, np.zeros(SHAPE, np.float32))
