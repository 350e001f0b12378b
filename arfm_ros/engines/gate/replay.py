"""The gate: does the policy compute here what it computed where it was trained?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.chunks.rtc import Guidance
from arfm_ros.core.solvers.flow import Velocity
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import Field, solve
from arfm_ros.core.values.data import F32, Context, Policy
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.gate.reference import GuidedReference, Reference, load_reference
from arfm_ros.engines.runtimes.graph import Runtime
from arfm_ros.engines.whole import WholeChunk, takes

__all__ = ["GuidedReference", "Reference", "load_reference", "replay"]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The largest differences that pass, as shares of the output's size, at least of 1."""

    step: float  # also of a guided step; of the largest velocity
    chunk: float  # of the largest normalised action
    joint: float  # of the largest angle of a command, in rad
    cosine: float  # the smallest that passes


# fp32: the joints also bear the preprocessing, which ends at commands; 1e-4 rad is 0.1 mm at 1 m
# fp16 and bf16: 3 to 9 times what docs/engines.md measured, for networks that are deeper
LIMITS = {
    "fp32": Tolerances(step=1e-5, chunk=1e-5, joint=1e-4, cosine=0.99999),
    "fp16": Tolerances(step=2e-2, chunk=5e-3, joint=1e-3, cosine=0.9999),
    "bf16": Tolerances(step=3e-1, chunk=5e-2, joint=1e-2, cosine=0.999),
    "int8": Tolerances(step=5e-1, chunk=3e-1, joint=3e-2, cosine=0.99),
    "fp8": Tolerances(step=5e-1, chunk=3e-1, joint=3e-2, cosine=0.99),
    "nvfp4": Tolerances(step=5e-1, chunk=3e-1, joint=3e-2, cosine=0.99),
    "int4": Tolerances(step=5e-1, chunk=3e-1, joint=3e-2, cosine=0.99),
}
LONG = 25  # steps, from which on a chunk's limit grows with them: each adds its own rounding


def limits_of(spec: PolicySpec, precision: str) -> Tolerances:
    """Return what a policy's differences may be at a precision."""
    limits = LIMITS[precision]
    longer = max(1.0, spec.steps / LONG)
    return replace(limits, chunk=longer * limits.chunk, joint=longer * limits.joint)


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences to the reference: absolute, and as shares of the output's size.

    The steps and the chunk begin at the network's inputs, and are in normalised units; the actions
    begin at raw pictures and states and end at commands.
    """

    passed: bool
    max_step_error: float  # |v - v_reference| of the step graph at the reference's x_t
    max_chunk_error: float  # |x_1 - x_1 reference|
    cosine: float  # the smallest over the observations
    max_action_error: float  # of the chunk in physical units
    worst_joint: str  # of the actions in rad
    worst_joint_error_rad: float
    observations: int
    limits: Tolerances
    step_errors: tuple[float, ...]  # for each step the largest over the observations
    max_guided_error: float = 0.0  # as max_step_error, over max |v|; 0 without step_rtc
    max_step_relative: float = 0.0
    max_chunk_relative: float = 0.0
    max_action_relative: float = 0.0
    allowed_rad: float = 0.0  # what the limits mean for the worst joint


class RunnablePolicy(Policy, Protocol):
    """A policy that also shows what its network gives at each step."""

    spec: PolicySpec
    runtime: Runtime

    def velocity(self, context: Context) -> Field:
        """Return v(x, t), or what else the spec's sampler wants of the network."""
        ...

    def guided_velocity(self, context: Context, given: Guidance) -> Velocity:
        """Return v(x, t) drawn towards a previous chunk."""
        ...

    def whole_chunk(self, context: Context, given: Guidance | None = None) -> WholeChunk | None:
        """Return the graph of all steps of a chunk, or of one that follows on, if there is one."""
        ...


def replay(policy: RunnablePolicy, reference: Reference) -> Parity:
    """Run every reference observation and compare each step and the chunk.

    Raises `BundleError` for a reference of another policy, `EngineError` where the engine fails.
    """
    reference.check(policy.spec)
    spec, count, steps = policy.spec, len(reference.state), reference.velocity.shape[1]
    step, guided = np.zeros((count, steps)), np.zeros((count, steps))
    chunk, cosine = np.zeros(count), np.ones(count)
    actions = np.zeros((count, *spec.action_shape))
    for k in range(count):
        context = policy.encode(reference.observation(k))
        field, whole = policy.velocity(context), policy.whole_chunk(context)
        solver = make_solver(spec.sampler, steps, reference.noise[k])
        at = (solver.times, reference.trace[k])
        step[k] = _differences(field, at, reference.velocity[k])
        guided[k] = _guided_error(policy, context, at, reference, k)
        wanted = reference.trace[k, -1]
        found = [solve(solver, field, reference.noise[k]).sample]
        if whole is not None:  # what a chunk is run by: its steps one by one, and all of them
            step[k] = np.maximum(step[k], _differences(whole.velocity, at, reference.velocity[k]))
            fresh = make_solver(spec.sampler, steps, reference.noise[k])
            found += [whole.solve(fresh, reference.noise[k]).sample] if takes(fresh) else []
        chunk[k] = max(float(np.abs(x - wanted).max()) for x in found)
        cosine[k] = min(_cosine(x, wanted) for x in found)
        commands = policy.sample(context, reference.noise[k], steps=steps).actions
        actions[k] = np.abs(commands - reference.chunk[k])
    return _parity(policy, reference, _Errors(step, guided, chunk, cosine, actions))


class _Errors(NamedTuple):
    """Differences of K observations."""

    step: NDArray[np.float64]  # [K, steps]
    guided: NDArray[np.float64]  # [K, steps], over max |v|
    chunk: NDArray[np.float64]  # [K]
    cosine: NDArray[np.float64]  # [K]
    actions: NDArray[np.float64]  # [K, H, A], physical units


def _parity(policy: RunnablePolicy, reference: Reference, errors: _Errors) -> Parity:
    step, guided, chunk, cosine, actions = errors
    joint, joint_rad = _worst_joint(policy.spec, actions.max(axis=(0, 1)))
    limits = limits_of(policy.spec, policy.runtime.precision)
    of_step = step.max() / _size(reference.velocity)
    of_chunk = chunk.max() / _size(reference.trace[:, -1])
    allowed_rad = limits.joint * _size(reference.chunk)
    worst = (max(of_step, guided.max()), of_chunk, joint_rad)
    allowed = (limits.step, limits.chunk, allowed_rad)
    return Parity(
        passed=bool(np.all(np.less_equal(worst, allowed)) and cosine.min() >= limits.cosine),
        max_step_error=float(step.max()),
        max_chunk_error=float(chunk.max()),
        cosine=float(cosine.min()),
        max_action_error=float(actions.max()),
        worst_joint=joint,
        worst_joint_error_rad=joint_rad,
        observations=len(step),
        limits=limits,
        step_errors=tuple(float(e) for e in step.max(axis=0)),
        max_guided_error=float(guided.max()),
        max_step_relative=float(of_step),
        max_chunk_relative=float(of_chunk),
        max_action_relative=float(actions.max()) / _size(reference.chunk),
        allowed_rad=allowed_rad,
    )


def _guided_error(
    policy: RunnablePolicy,
    context: Context,
    at: tuple[Sequence[float], F32],
    reference: Reference,
    k: int,
) -> NDArray[np.float64] | float:
    """Largest differences [steps] of the guided step, over max |v|; 0 without one."""
    if policy.spec.rtc.mode == "none" or reference.guided is None:
        return 0.0
    wanted, given = reference.guided.velocity[k], reference.guided.guidance(k)
    field, whole = policy.guided_velocity(context, given), policy.whole_chunk(context, given)
    apart = _differences(field, at, wanted)
    if whole is not None:
        noise, solver = reference.noise[k], make_solver(policy.spec.sampler, len(wanted), at[1][0])
        apart = np.maximum(apart, _differences(whole.velocity, at, wanted))
        if takes(solver):  # the reference has no such chunk: one that is made step by step
            apart_at_end = whole.solve(solver, noise).sample - solve(solver, field, noise).sample
            apart[-1] = max(apart[-1], float(np.abs(apart_at_end).max()))
    return np.asarray(apart / _size(wanted))


def _cosine(x: F32, wanted: F32) -> float:
    return float(np.vdot(x, wanted) / (np.linalg.norm(x) * np.linalg.norm(wanted)))


def _size(values: F32) -> float:
    """Largest absolute value, at least 1: what a difference is a share of."""
    return max(1.0, float(np.abs(values).max()))


def _worst_joint(spec: PolicySpec, errors: NDArray[np.float64]) -> tuple[str, float]:
    """Name the joint in rad with the largest error [A] and give it; "" where there is none."""
    joints = [(float(e), a.name) for e, a in zip(errors, spec.action) if a.unit == "rad"]
    error, name = max(joints, default=(0.0, ""))
    return name, error


def _differences(
    field: Field, at: tuple[Sequence[float], F32], wanted: F32
) -> NDArray[np.float64]:
    """Largest differences to the outputs wanted [steps] `at` the reference's t and x_t."""
    found = [field(x, t) for t, x in zip(*at)]
    apart = np.abs(np.stack(found).astype(np.float64) - wanted)
    return np.asarray(apart.max(axis=(1, 2)))
