"""Laws of the flow integration on the host."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.errors import Cancelled, EngineError, SpecError
from arfm_ros.core.solvers.flow import integrate
from arfm_ros.core.solvers.sampler import SOLVERS, Sampler
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import solve

SHAPE = (16, 8)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.parametrize("steps", [1, 3, 10, 64])
def test_the_velocity_to_one_target_reaches_it_in_any_number_of_steps(steps: int) -> None:
    start, target = noise(0), noise(1)
    result = integrate(lambda x, t: target - start, start, steps)
    np.testing.assert_allclose(result.sample, target, atol=1e-5)
    assert result.steps == steps


def test_no_velocity_changes_nothing() -> None:
    np.testing.assert_array_equal(integrate(lambda x, t: 0 * x, noise(), 5).sample, noise())


def test_times_run_from_zero_in_equal_steps_and_never_reach_one() -> None:
    times: list[float] = []
    integrate(lambda x, t: (times.append(t), 0 * x)[1], noise(), 8)
    np.testing.assert_allclose(times, np.arange(8) / 8, atol=1e-7)


def test_more_steps_come_closer_to_the_exact_flow() -> None:
    exact = noise() * np.exp(1.0)
    errors = [
        np.abs(integrate(lambda x, t: x, noise(), n).sample - exact).max() for n in (2, 8, 64)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_a_cancelled_chunk_ends_before_its_next_step() -> None:
    asked, evaluated = iter((False, False, True)), []
    with pytest.raises(Cancelled, match="before step 3 of 10"):
        integrate(
            lambda x, t: evaluated.append(t) or x, noise(), 10, cancelled=lambda: next(asked)
        )
    assert len(evaluated) == 2


def test_being_out_of_time_finishes_the_chunk_in_one_step_of_what_remains() -> None:
    start, target = noise(0), noise(1)
    result = integrate(lambda x, t: target - start, start, 10, out_of_time=lambda left: left <= 7)
    assert result.steps == 4
    np.testing.assert_allclose(result.sample, target, atol=1e-5)


def test_at_least_one_step_is_taken_however_late_it_is() -> None:
    result = integrate(lambda x, t: x, noise(), 10, out_of_time=lambda left: True)
    assert result.steps == 2  # one regular, one of what remains


def test_the_trace_holds_every_state_from_noise_to_sample() -> None:
    result = integrate(lambda x, t: x, noise(), 4, keep_trace=True)
    assert len(result.trace) == 5
    np.testing.assert_array_equal(result.trace[0], noise())
    np.testing.assert_array_equal(result.trace[-1], result.sample)


def test_everything_stays_float32() -> None:
    seen = []
    result = integrate(
        lambda x, t: (seen.append(x.dtype), x.astype(np.float64))[1], noise().astype(float), 3
    )
    assert {*seen, result.sample.dtype} == {np.dtype(np.float32)}


def test_a_velocity_that_is_not_finite_discards_the_chunk() -> None:
    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return x if t < 0.5 else np.full_like(x, np.nan)

    with pytest.raises(EngineError, match="t = 0.500"):
        integrate(velocity, noise(), 4)


def test_no_steps_are_refused() -> None:
    with pytest.raises(EngineError, match="at least 1"):
        integrate(lambda x, t: x, noise(), 0)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 11])
def test_every_solver_follows_a_straight_path_to_its_end(name: str, steps: int) -> None:
    start, target = noise(0), noise(1)
    solver = make_solver(Sampler(solver=name), steps, start)
    result = solve(solver, lambda x, t: target - start, start)
    np.testing.assert_allclose(result.sample, target, atol=1e-5)
    assert result.steps == steps == len(solver.times)
    assert solver.strides == (steps if name in {"euler", "ab2"} else (steps + 1) // 2)


@pytest.mark.parametrize("name", SOLVERS[1:])
def test_solvers_of_second_order_gain_four_times_for_twice_the_evaluations(name: str) -> None:
    exact = noise() * np.exp(1.0)
    errors = []
    for steps in (8, 16, 32):
        solver = make_solver(Sampler(solver=name), steps, noise())
        errors.append(np.abs(solve(solver, lambda x, t: x, noise()).sample - exact).max())
    euler = solve(make_solver(Sampler(), 32, noise()), lambda x, t: x, noise()).sample
    assert 3.0 < errors[0] / errors[1] < 5.0 and 3.0 < errors[1] / errors[2] < 5.0
    assert errors[2] < 0.2 * np.abs(euler - exact).max()


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_out_of_time_every_solver_ends_at_one(name: str, after: int) -> None:
    start, target = noise(0), noise(1)
    solver = make_solver(Sampler(solver=name), 10, start)
    late = lambda left: left <= 10 - after  # noqa: E731
    result = solve(solver, lambda x, t: target - start, start, out_of_time=late)
    assert result.steps == after + 1
    np.testing.assert_allclose(result.sample, target, atol=1e-5)


def test_a_solver_that_is_unknown_or_of_a_flow_alone_is_named() -> None:
    with pytest.raises(SpecError, match="solver 'rk45', needs one of euler, ab2, midpoint, heun"):
        Sampler(solver="rk45")
    with pytest.raises(SpecError, match="solver 'heun', needs one of euler"):
        Sampler("regression", solver="heun")
