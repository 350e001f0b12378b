"""Reference vectors of another library's network: what its own sampler computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.chunks.rtc import CLIP, Guidance, soft_mask
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import solve
from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines.gate.replay import GuidedReference, Reference
from arfm_ros.engines.inputs import Inputs
from arfm_ros.export.reference import guided_velocity
from arfm_ros.export.vla.network import SplitNetwork

OBSERVATIONS = 2
RAW_SIZE = (480, 640)  # of a camera's pictures; the library resizes them itself
SAME = ("bilinear", "bicubic")  # filters whose grey levels are the library's
Commands = Callable[[Observation, F32, int], F32]


def input_names(spec: PolicySpec) -> list[str]:
    """Names of the prefix graph's inputs, in order."""
    pictures = [
        f"{kind}_{camera.name}"
        for camera in spec.cameras
        for kind in (("image", "inside") if camera.masked else ("image",))
    ]
    state = [] if spec.language.state_bins else ["state"]  # else it is part of the text
    text = [] if spec.language.mode == "none" else ["tokens", "mask"]
    return [*pictures, *state, *text]


def tensors(inputs: Inputs, observation: Observation) -> tuple[Tensor, ...]:
    """Prepare an observation as the engine does, for torch."""
    feed = inputs(observation)
    return tuple(torch.from_numpy(np.array(feed[name])) for name in input_names(inputs.spec))


def make_reference(
    model: SplitNetwork,
    spec: PolicySpec,
    inputs: Inputs,
    commands: Commands | None = None,
    seed: int = 0,
) -> Reference:
    """Run torch on made-up observations; each trace ends with what the library's sampler gave.

    The chunks are `commands`, the library's own from raw pictures and states, where it is given.
    """
    rng = np.random.default_rng(seed)
    seen = [_observation(spec, rng, commands is not None) for _ in range(OBSERVATIONS)]
    noise = rng.standard_normal((OBSERVATIONS, *spec.flow_shape)).astype(np.float32)
    traces, velocities, contexts = [], [], []
    for observation, one in zip(seen, noise):
        prepared = tensors(inputs, observation)
        contexts.append(_context(model, prepared))
        field = _Recorder(model, contexts[-1])
        solver = make_solver(spec.sampler, spec.steps, one)
        trace = list(solve(solver, field, one, keep_trace=True).trace)
        wanted = model.library_chunk(prepared, torch.from_numpy(one[None]), spec.steps)
        traces.append(np.stack([*trace[:-1], wanted[0].numpy()]))
        velocities.append(np.stack(field.seen))
    trace = np.stack(traces)
    return Reference(
        images=_pictures(spec, seen),
        state=_rows([[o.state for o in _all(s)] for s in seen]),
        instructions=tuple(o.instruction for o in seen),
        noise=noise,
        trace=trace,
        velocity=np.stack(velocities),
        chunk=np.stack([
            spec.unnormalise_actions(t[-1], s.state)
            if commands is None
            else commands(s, one, spec.steps)
            for t, s, one in zip(trace, seen, noise)
        ]),
        guided=_guided(model, spec, contexts, trace) if spec.rtc.mode == "guided" else None,
    )


@torch.no_grad()
def _context(model: SplitNetwork, prepared: tuple[Tensor, ...]) -> Any:
    return model(*prepared)


def _pictures(spec: PolicySpec, seen: list[Observation]) -> dict[str, NDArray[Any]]:
    return {
        c.name: _rows([[o.images[c.name] for o in _all(s)] for s in seen]) for c in spec.cameras
    }


class _Recorder:
    """What the network gives at each step of a context, kept."""

    def __init__(self, model: SplitNetwork, context: Any) -> None:
        self.model, self.context, self.seen = model, context, list[F32]()

    @torch.no_grad()
    def __call__(self, x: F32, t: float) -> F32:
        v = self.model.velocity(torch.from_numpy(x[None]), torch.tensor([t]), self.context)
        self.seen.append(v[0].numpy())
        return self.seen[-1]


def _observation(spec: PolicySpec, rng: np.random.Generator, raw: bool) -> Observation:
    """Make an observation whose pictures are resized: as a camera gives them, or just wider."""
    example = spec.example(int(rng.integers(2**31)))

    def wide(one: Observation) -> Observation:
        wider = {c.name: (c.height, 3 * c.width // 2, 3) for c in spec.cameras}
        fits = {
            c.name: (c.height, c.width, 3)
            for c in spec.cameras
            if not c.exact and c.filter not in SAME
        }
        sizes = {name: (*RAW_SIZE, 3) for name in wider} | fits if raw else wider
        pictures = {n: rng.integers(0, 256, size, dtype=np.uint8) for n, size in sizes.items()}
        return replace(one, images=pictures)

    return replace(wide(example), earlier=tuple(wide(one) for one in example.earlier))


def _all(observation: Observation) -> tuple[Observation, ...]:
    return (*observation.earlier, observation)


def _rows(parts: list[list[NDArray[Any]]]) -> NDArray[Any]:
    """Stack a part of each observation [K, ...], with a history [K, n, ...]."""
    return np.stack([np.stack(part) if len(part) > 1 else part[0] for part in parts])


def _guided(
    model: SplitNetwork, spec: PolicySpec, contexts: list[Any], trace: F32
) -> GuidedReference:
    previous = np.roll(trace[:, -1], 1, axis=0)
    horizon, steps = spec.horizon, spec.steps
    weights = np.stack([soft_mask(horizon, k % horizon, horizon) for k in range(len(contexts))])
    velocity = np.zeros_like(trace[:, :-1])
    for k, context in enumerate(contexts):
        given = Guidance(previous[k], weights[k])
        for i in range(steps):
            velocity[k, i] = guided_velocity(model, context, given, trace[k, i], i / steps)
    return GuidedReference(previous, weights, CLIP, velocity)
