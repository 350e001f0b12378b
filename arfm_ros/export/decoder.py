"""A network in two parts as a bundle: what an observation becomes, and a step of its sampler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.data import F32, Observation
from arfm_ros.core.errors import BundleError
from arfm_ros.core.sampling import make_solver
from arfm_ros.core.solver import solve
from arfm_ros.core.spec import PolicySpec
from arfm_ros.engines.bundle import (
    PARITY,
    POLICY,
    PREFIX,
    REFERENCE,
    STEP,
    WEIGHTS,
    file_sha256,
    load_bundle,
)
from arfm_ros.engines.inputs import Inputs
from arfm_ros.engines.load import load_policy
from arfm_ros.engines.proof import proof
from arfm_ros.engines.replay import Parity, Reference, load_reference, replay
from arfm_ros.export.onnx import OPSET, finish, to_onnx
from arfm_ros.export.reference import save_reference
from arfm_ros.export.weights import share_weights

OBSERVATIONS = 2


class Network(Protocol):
    """A module of torch in the two parts of a bundle, and the library's own sampler; batch 1."""

    context: type[Any]  # NamedTuple of the tensors [1, ...] that the prefix leaves

    def __call__(self, *inputs: Tensor) -> Any:
        """Map the inputs of the prefix graph to a context."""
        ...

    def velocity(self, x: Tensor, t: Tensor, context: Any) -> Tensor:
        """Map x [1, H, D] at t [1] to what the sampler wants; a regression looks at neither."""
        ...

    def library_chunk(self, inputs: tuple[Tensor, ...], noise: Tensor, steps: int) -> Tensor:
        """Compute the last x [1, H, D] from `noise` by the library's own sampler."""
        ...


class _Step(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, *context: Tensor) -> Tensor:
        return self.network.velocity(x, t, self.network.context(*context))


class _Answer(_Step):
    """A step without x and t."""

    def forward(self, *context: Tensor) -> Tensor:
        return super().forward(torch.zeros(1), torch.zeros(1), *context)


def write_network(
    network: Any, spec: PolicySpec, out: Path, provenance: Mapping[str, Any]
) -> Parity:
    """Write the bundle of `network`, a `Network` of torch, to the folder `out`.

    Beside it first, and moved there when it passed its own check. Raises `BundleError` if the
    graphs differ from the network's own sampler.
    """
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    network.eval()
    _write_graphs(network, spec, draft)
    made = {"torch": str(torch.__version__), "opset": OPSET}
    raw = {
        "spec": json.loads(spec.to_json()),
        "sha256": {file.name: file_sha256(file) for file in sorted(draft.iterdir())},
        "provenance": {**provenance, "exported_with": made},
    }
    (draft / POLICY).write_text(json.dumps(raw, indent=1) + "\n")
    save_reference(make_reference(network, spec), draft / REFERENCE)
    parity = _prove(draft)
    if not parity.passed:
        raise BundleError(f"the graphs differ from the network's sampler: {parity}; see {draft}")
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return parity


def _write_graphs(network: Any, spec: PolicySpec, folder: Path) -> None:
    first = Inputs(spec)(spec.example(0))
    inputs, names = tensors(first), list(first)
    with torch.no_grad():
        context = network(*inputs)
    fields = list(network.context._fields)
    finish(to_onnx(network, inputs, names, fields), folder / PREFIX)
    if spec.sampler.kind == "regression":
        step = to_onnx(_Answer(network), context, fields, ["actions"])
    else:
        point = (torch.zeros(1, *spec.flow_shape), torch.zeros(1))
        step = to_onnx(_Step(network), (*point, *context), ["x", "t", *fields], ["output"])
    finish(step, folder / STEP)
    values = {n: v.detach().numpy() for n, v in network.state_dict().items()}
    share_weights([folder / PREFIX, folder / STEP], folder / WEIGHTS, values, {})


def tensors(feed: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Turn what `Inputs` prepared into tensors of torch, in the same order."""
    return tuple(torch.from_numpy(np.array(value)) for value in feed.values())


@torch.no_grad()
def make_reference(network: Any, spec: PolicySpec, seed: int = 0) -> Reference:
    """Run torch on made-up observations; each trace ends with what the library's sampler gave."""
    rng, inputs = np.random.default_rng(seed), Inputs(spec)
    seen = [_observation(spec, rng) for _ in range(OBSERVATIONS)]
    noise = rng.standard_normal((OBSERVATIONS, *spec.flow_shape)).astype(np.float32)
    traces, outputs = [], []
    for observation, start in zip(seen, noise):
        prepared = tensors(inputs(observation))
        field = _Recorder(network, network(*prepared))
        solver = make_solver(spec.sampler, spec.steps, start)
        trace = solve(solver, field, start, keep_trace=True).trace
        wanted = network.library_chunk(prepared, torch.from_numpy(start[None]), spec.steps)
        traces.append(np.stack([*trace[:-1], wanted[0].numpy()]))
        outputs.append(np.stack(field.seen))
    chunks = [spec.unnormalise_actions(t[-1], o.state) for t, o in zip(traces, seen)]
    return Reference(
        images={c.name: _stack(seen, lambda o, n=c.name: o.images[n]) for c in spec.cameras},
        state=_stack(seen, lambda o: o.state),
        instructions=tuple(observation.instruction for observation in seen),
        noise=noise,
        trace=np.stack(traces),
        velocity=np.stack(outputs),
        chunk=np.stack(chunks),
    )


class _Recorder:
    """The step of a context, which keeps what it gave."""

    def __init__(self, network: Any, context: Any) -> None:
        self.network, self.context, self.seen = network, context, list[F32]()

    def __call__(self, x: F32, t: float) -> F32:
        at = (torch.from_numpy(x[None]), torch.tensor([t]))
        self.seen.append(self.network.velocity(*at, self.context)[0].numpy())
        return self.seen[-1]


def _stack(seen: Sequence[Observation], what: Any) -> Any:
    """Stack a part of each observation and, with a history, of those before it."""
    rows = [np.stack([what(one) for one in (*o.earlier, o)]) for o in seen]
    return np.stack([row if len(row) > 1 else row[0] for row in rows])


def _observation(spec: PolicySpec, rng: np.random.Generator) -> Observation:
    """Make an observation whose pictures are not the network's size, so that they are resized."""
    example = spec.example(int(rng.integers(2**31)))

    def seen(one: Observation) -> Observation:
        sizes = {c.name: (c.height, 3 * c.width // 2, 3) for c in spec.cameras}
        pictures = {n: rng.integers(0, 256, size, dtype=np.uint8) for n, size in sizes.items()}
        return replace(one, images=pictures)

    return replace(seen(example), earlier=tuple(seen(one) for one in example.earlier))


def _prove(folder: Path) -> Parity:
    policy, bundle = load_policy(folder), load_bundle(folder)
    parity = replay(policy, load_reference(folder))
    record = proof(bundle, policy.runtime, parity)
    (folder / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    return parity
