"""Reference vectors: what torch computes on real, held-out observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.core.chunks.rtc import CLIP, Guidance, soft_mask
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import solve
from arfm_ros.core.values.data import F32
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.gate.replay import GuidedReference, Reference
from arfm_ros.export.graphs.rtc import follow_on
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy, to_float


@torch.no_grad()
def make_reference(
    model: FlowPolicy, spec: PolicySpec, frames: Frames, rows: NDArray[np.int64], seed: int = 0
) -> Reference:
    """Run `model` (float32) on `rows` of `frames` with noise from `seed`."""
    rng = np.random.default_rng(seed)
    count = len(rows)
    noise = rng.standard_normal((count, *spec.flow_shape)).astype(np.float32)
    state = frames.state[rows]
    images = {name: np.asarray(pixels[rows]) for name, pixels in frames.images.items()}
    traces, velocities, chunks = [], [], []
    for k in range(count):
        context = _context(model, spec, frames, int(rows[k]))
        seen: list[NDArray[np.float32]] = []

        def velocity(x: NDArray[np.float32], t: float) -> NDArray[np.float32]:
            v = model.velocity(torch.from_numpy(x[None]), torch.tensor([t]), context)  # noqa: B023
            seen.append(v[0].numpy())  # noqa: B023
            return seen[-1]  # noqa: B023

        solver = make_solver(spec.sampler, spec.steps, noise[k])
        result = solve(solver, velocity, noise[k], keep_trace=True)
        traces.append(np.stack(result.trace))
        velocities.append(np.stack(seen))
        chunks.append(spec.unnormalise_actions(result.sample, state[k]))
    return Reference(
        images=images,
        state=state,
        instructions=tuple(frames.instructions[e] for e in frames.episode[rows]),
        noise=noise,
        trace=np.stack(traces),
        velocity=np.stack(velocities),
        chunk=np.stack(chunks),
        guided=_guided(model, spec, frames, rows, np.stack(traces)),
    )


def _context(model: FlowPolicy, spec: PolicySpec, frames: Frames, row: int) -> EncodedContext:
    pixels = {name: np.array(x[row : row + 1]) for name, x in frames.images.items()}
    floats = {name: to_float(torch.from_numpy(x)) for name, x in pixels.items()}
    position = torch.from_numpy(spec.state_norm.normalise(frames.state[row])[None])
    tokens = torch.from_numpy(frames.tokens[frames.episode[row : row + 1]])
    return model.encode(floats, position, tokens)[0]


def _guided(
    model: FlowPolicy, spec: PolicySpec, frames: Frames, rows: NDArray[np.int64], trace: F32
) -> GuidedReference | None:
    """Make every x_t of `trace` follow on from another observation's chunk, in torch."""
    if spec.rtc.mode == "none":
        return None
    horizon = spec.horizon
    times = make_solver(spec.sampler, trace.shape[1] - 1, trace[0, 0]).times
    previous = np.roll(trace[:, -1], 1, axis=0)
    weights = np.stack([soft_mask(horizon, k % horizon, horizon) for k in range(len(rows))])
    velocity = guided_velocity if spec.rtc.mode == "guided" else prefix_velocity
    velocities = np.zeros_like(trace[:, :-1])
    for k, row in enumerate(rows):
        given = Guidance(previous[k], weights[k])
        with torch.no_grad():
            context = _context(model, spec, frames, int(row))
        for i, t in enumerate(times):
            velocities[k, i] = velocity(model, context, given, trace[k, i], t)
    return GuidedReference(previous, weights, CLIP, velocities)


def guided_velocity(
    model: FlowPolicy, context: EncodedContext, given: Guidance, x: F32, t: float
) -> F32:
    """Compute the guided velocity [H, A] at x [H, A] with `torch.autograd`."""
    with torch.enable_grad():
        point = torch.from_numpy(x[None].copy()).requires_grad_()
        v = model.velocity(point, torch.tensor([t]), context)
        arrival = point + (1 - t) * v
        weighted = (torch.from_numpy(given.previous) - arrival) * torch.from_numpy(
            given.weights[:, None].copy()
        )
        (pull,) = torch.autograd.grad(arrival, point, weighted.detach())
    return (v.detach() + given.gain(t) * pull)[0].numpy()


@torch.no_grad()
def prefix_velocity(
    model: FlowPolicy, context: EncodedContext, given: Guidance, x: F32, t: float
) -> F32:
    """Compute the velocity [H, A] at x [H, A] that follows on from frozen actions."""
    previous, weights = torch.from_numpy(given.previous), torch.from_numpy(given.weights)
    point = (torch.from_numpy(x)[None], torch.tensor([t]))
    return follow_on(model, context, point, (previous[None], weights[None]))[0].numpy()


def save_reference(reference: Reference, path: Path) -> None:
    """Write `reference` as a compressed npz that `engines.replay.load_reference` reads."""
    images = {f"image_{name}": pixels for name, pixels in reference.images.items()}
    more: dict[str, NDArray[np.float32]] = {}
    if reference.guided is not None:
        guided = reference.guided
        more = {
            "guided_previous": guided.previous,
            "guided_weights": guided.weights,
            "guided_clip": np.float32(guided.clip),
            "guided_velocity": guided.velocity,
        }
    np.savez_compressed(
        path,
        state=reference.state,
        instructions=np.asarray(reference.instructions),
        noise=reference.noise,
        trace=reference.trace,
        velocity=reference.velocity,
        chunk=reference.chunk,
        **images,
        **more,
    )
