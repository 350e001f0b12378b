"""What guidance achieves and costs: how well the frozen actions stay, how much time it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from arfm_ros.core.chunks.rtc import Guidance, GuidedField, soft_mask, without_derivative
from arfm_ros.core.solvers.flow import Velocity, integrate
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.values.data import F32, Context
from arfm_ros.engines.gate.replay import Reference, RunnablePolicy
from arfm_ros.engines.whole import takes

DELAY = 4  # ticks
REPEATS, ROW = 20, 10  # steps are timed ten in a row, as a chunk runs them
TIMING_S = 20.0  # no further round after that: a large network takes minutes for all of them


def freeze_errors(
    policy: RunnablePolicy, reference: Reference, delay: int = DELAY
) -> dict[str, float]:
    """Return the largest deviation of the frozen actions, mean over the observations.

    Normalised units. The previous chunk is the one that other noise gave for the same
    observation: what the policy itself might have been doing. For guidance with the exact
    derivative in every step, with the derivative taken as 1, as `sample` mixes them, and none;
    or for the trained prefix.
    """
    errors: dict[str, list[float]] = {}
    steps, count = policy.spec.steps, len(reference.state)
    for k in range(count):
        context = policy.encode(reference.observation(k))
        other = reference.noise[(k + 1) % count]
        previous = integrate(policy.velocity(context), other, steps).sample
        for name, field in guided_fields(policy, context, _given(policy, previous, delay)).items():
            x = integrate(field, reference.noise[k], steps).sample
            errors.setdefault(name, []).append(float(np.abs(x - previous)[:delay].max()))
    return {name: float(np.mean(values)) for name, values in errors.items()}


def guided_fields(
    policy: RunnablePolicy, context: Context, given: Guidance
) -> dict[str, Velocity]:
    """Give the velocity field of every way to follow on that the policy has."""
    plain, exact = policy.velocity(context), partial(policy.guided_velocity, context)
    if policy.spec.rtc.mode == "prefix":
        frozen = exact(given)
        return {"none": plain, "identity": without_derivative(plain, given), "prefix": frozen}
    return {
        "none": plain,
        "identity": without_derivative(plain, given),
        "exact": exact(given),
        "mixed": GuidedField((plain, exact), given, policy.spec.steps, "mixed"),
    }


def guidance_report(policy: RunnablePolicy, reference: Reference) -> dict[str, dict[str, float]]:
    """Measure both for parity.json: freeze errors, and CPU milliseconds of steps and chunks."""
    observation, noise = reference.observation(0), reference.noise[0]
    given = _given(policy, reference.trace[0, -1], DELAY)
    trained = policy.spec.rtc.mode == "prefix"

    def chunk(way: str) -> None:
        context = policy.encode(observation)
        whole = policy.whole_chunk(context, given if way == "prefix" else None)
        solver = make_solver(policy.spec.sampler, policy.spec.steps, noise)
        if whole is not None and takes(solver) and way in {"none", "prefix"}:
            whole.solve(solver, noise)
            return
        integrate(guided_fields(policy, context, given)[way], noise, policy.spec.steps)

    fields = guided_fields(policy, policy.encode(observation), given)
    cost = _milliseconds({
        "plain_step_ms": partial(_steps, fields["none"], noise),
        "guided_step_ms": partial(_steps, fields["prefix" if trained else "exact"], noise),
        "plain_chunk_ms": partial(chunk, "none"),
        "guided_chunk_ms": partial(chunk, "prefix" if trained else policy.spec.rtc.guidance),
    })
    cost["step_ratio"] = cost["guided_step_ms"] / cost["plain_step_ms"]
    cost["chunk_ratio"] = cost["guided_chunk_ms"] / cost["plain_chunk_ms"]
    rounded = {name: round(value, 4) for name, value in cost.items()}
    freeze = {name: round(e, 4) for name, e in freeze_errors(policy, reference).items()}
    return {"freeze_error": freeze, "guidance_cost": rounded}


def _steps(field: Velocity, noise: F32) -> None:
    for _ in range(ROW):
        field(noise, 0.1)


def _given(policy: RunnablePolicy, previous: F32, delay: int) -> Guidance:
    horizon, steps = policy.spec.horizon, policy.spec.steps
    weights = soft_mask(horizon, min(delay, horizon), horizon)
    return Guidance(previous, weights, float(steps))


def _milliseconds(works: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """Median CPU time of each, in turns; other processes disturb it less than the wall time."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    until_s = time.monotonic() + TIMING_S
    for n in range(REPEATS):
        if n and time.monotonic() > until_s:
            break
        for name, work in works.items():
            begin_ns = time.process_time_ns()
            work()
            taken[name].append(1e-6 * (time.process_time_ns() - begin_ns))
    rows = {name: ROW if "step" in name else 1 for name in works}
    return {name: float(np.median(row)) / rows[name] for name, row in taken.items()}
