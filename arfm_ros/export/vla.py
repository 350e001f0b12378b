"""Export of a vision-language-action model that another library trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arfm_ros.core.data import F32, Observation
from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.core.flow import integrate
from arfm_ros.core.normalize import Affine
from arfm_ros.core.rtc import CLIP, Guidance, soft_mask
from arfm_ros.core.spec import CameraInput, Language, PolicySpec, Rtc
from arfm_ros.engines.bundle import (
    PARITY,
    POLICY,
    PREFIX,
    REFERENCE,
    STEP,
    STEP_RTC,
    WEIGHTS,
    file_sha256,
    load_bundle,
)
from arfm_ros.engines.freeze import guidance_report
from arfm_ros.engines.inputs import TOKENIZER, Inputs
from arfm_ros.engines.load import load_policy
from arfm_ros.engines.proof import proof
from arfm_ros.engines.replay import GuidedReference, Parity, Reference, replay
from arfm_ros.export.interface import Interface, read_interface
from arfm_ros.export.onnx import OPSET, finish, to_onnx
from arfm_ros.export.pi0 import FILTERS, Pi0, Pi0Context, load_pi0
from arfm_ros.export.reference import guided_velocity, save_reference
from arfm_ros.export.rtc import guided_graph
from arfm_ros.export.weights import share_weights

KIND = "transformers:"
OBSERVATIONS = 2
TOKENS = 48  # of an instruction, as pi0 was trained


class _Step(nn.Module):
    def __init__(self, model: Pi0) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, *context: Tensor) -> Tensor:
        return self.model.velocity(x, t, Pi0Context(*context))


def export_pi0(
    source: str,
    interface: Path | None,
    out: Path,
    name: str,
    rtc: str | None = None,
    say: Callable[[str], None] = print,
) -> Parity:
    """Export the checkpoint folder of `source` (transformers:FOLDER) as bundle `name` to `out`.

    `rtc` is "guided" (default) or "none". Parity is against the library's own sampler. Raises
    `BundleError` if the graphs differ from it, `ConfigError` for what is missing.
    """
    if interface is None:
        raise ConfigError("a pi0 checkpoint knows no joint names: give --interface FILE.yaml")
    if rtc == "prefix":
        raise ConfigError("rtc mode 'prefix' needs a policy trained for it: guided or none")
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    robot, folder = read_interface(interface), Path(source.removeprefix(KIND))
    model, settings = load_pi0(folder, len(robot.cameras))
    spec = replace(make_spec(model, settings, robot, name), rtc=Rtc())
    if rtc != "none":
        spec = replace(spec, rtc=Rtc("guided", 0, 3 * spec.horizon // 4))
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    say("exporting the graphs")
    shutil.copy(folder / TOKENIZER, draft / TOKENIZER)
    parity = _fill(draft, model, spec)
    if not parity.passed:
        raise BundleError(f"the graphs differ from transformers: {parity}; see {draft}")
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return parity


def make_spec(
    model: Pi0, settings: dict[str, Any], robot: Interface, name: str
) -> PolicySpec:
    """Make the specification; statistics are the checkpoint's, mean and standard deviation."""
    config, image = model.model.config, settings["image_processor"]
    size = config.vlm_config.vision_config.image_size
    kind = FILTERS[image["resample"]]
    cameras = tuple(
        CameraInput(camera, size, size, kind, "end", masked=True)
        for camera in robot.cameras.values()
    )
    spec = robot.spec(name, config.chunk_size, cameras)
    for what, names in (("state", spec.state_names), ("actions", spec.action_names)):
        if len(settings[f"{what}_mean"]) != len(names):
            raise ConfigError(
                f"the checkpoint has {len(settings[f'{what}_mean'])} {what}, the interface file "
                f"{len(names)}: {', '.join(names)}"
            )
    vocabulary = config.vlm_config.text_config.vocab_size
    template = settings["bos_token"] + "{instruction}\n"
    action = _affine(settings, "actions")
    rows = (spec.horizon, 1)
    return replace(
        spec,
        state_norm=_affine(settings, "state"),
        action_norm=Affine(np.tile(action.offset, rows), np.tile(action.scale, rows)),
        steps=config.num_inference_steps,
        language=Language("tokenizer", TOKENS, vocabulary, template),
        flow_width=config.max_action_dim,
    )


def _affine(settings: dict[str, Any], what: str) -> Affine:
    mean, std = (np.asarray(settings[f"{what}_{k}"], np.float32) for k in ("mean", "std"))
    return Affine(mean, std + np.float32(1e-8))


def _fill(folder: Path, model: Pi0, spec: PolicySpec) -> Parity:
    inputs = Inputs(spec, folder)
    with torch.no_grad():
        first = tensors(inputs, spec.example(0))
        context = model(*first)
    names = input_names(spec)
    fields = list(Pi0Context._fields)
    finish(to_onnx(model, first, names, fields), folder / PREFIX)
    shape = (1, *spec.flow_shape)
    point = (torch.zeros(shape), torch.zeros(1))
    step = to_onnx(_Step(model), (*point, *context), ["x", "t", *fields], ["v"])
    finish(step, folder / STEP)
    if spec.rtc.mode == "guided":
        finish(guided_graph(model, context, shape), folder / STEP_RTC)
    graphs = [n for n in (PREFIX, STEP, STEP_RTC) if (folder / n).exists()]
    # parameters that are the same tensor under two names are written once
    values = {n: p.detach().numpy() for n, p in model.model.named_parameters()}
    share_weights([folder / n for n in graphs], folder / WEIGHTS, values, {"network": "pi0"})
    import transformers

    made = {"torch": str(torch.__version__), "opset": OPSET}
    raw = {
        "spec": json.loads(spec.to_json()),
        "sha256": {n: file_sha256(folder / n) for n in [*graphs, WEIGHTS, TOKENIZER]},
        "provenance": {"network": f"pi0 of transformers {transformers.__version__}"}
        | {"exported_with": made},
    }
    (folder / POLICY).write_text(json.dumps(raw, indent=1) + "\n")
    return _prove(folder, model, spec, inputs)


def _prove(folder: Path, model: Pi0, spec: PolicySpec, inputs: Inputs) -> Parity:
    reference = make_reference(model, spec, inputs)
    save_reference(reference, folder / REFERENCE)
    policy = load_policy(folder)
    parity = replay(policy, reference)
    more = guidance_report(policy, reference) if spec.rtc.mode == "guided" else {}
    record = proof(load_bundle(folder), policy.runtime, parity) | more
    (folder / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    return parity


def input_names(spec: PolicySpec) -> list[str]:
    """Names of the prefix graph's inputs, in order."""
    pictures = [f"{kind}_{c.name}" for c in spec.cameras for kind in ("image", "inside")]
    return [*pictures, "state", "tokens", "mask"]


def tensors(inputs: Inputs, observation: Observation) -> tuple[Tensor, ...]:
    """Prepare an observation as the engine does, for torch."""
    feed = inputs(observation)
    return tuple(torch.from_numpy(np.array(feed[name])) for name in input_names(inputs.spec))


def make_reference(model: Pi0, spec: PolicySpec, inputs: Inputs, seed: int = 0) -> Reference:
    """Run torch on made-up observations; each trace ends with what the library's sampler gave."""
    rng = np.random.default_rng(seed)
    seen = [_observation(spec, rng) for _ in range(OBSERVATIONS)]
    noise = rng.standard_normal((OBSERVATIONS, *spec.flow_shape)).astype(np.float32)
    traces, velocities, contexts = [], [], []
    for observation, one in zip(seen, noise):
        prepared = tensors(inputs, observation)
        with torch.no_grad():
            contexts.append(model(*prepared))
        field = _Recorder(model, contexts[-1])
        trace = list(integrate(field, one, spec.steps, keep_trace=True).trace)
        wanted = model.library_chunk(prepared, torch.from_numpy(one[None]), spec.steps)
        traces.append(np.stack([*trace[:-1], wanted[0].numpy()]))
        velocities.append(np.stack(field.seen))
    trace, state = np.stack(traces), np.stack([o.state for o in seen])
    return Reference(
        images={c.name: np.stack([o.images[c.name] for o in seen]) for c in spec.cameras},
        state=state,
        instructions=tuple(o.instruction for o in seen),
        noise=noise,
        trace=trace,
        velocity=np.stack(velocities),
        chunk=np.stack([spec.unnormalise_actions(t[-1], s) for t, s in zip(trace, state)]),
        guided=_guided(model, spec, contexts, trace) if spec.rtc.mode == "guided" else None,
    )


class _Recorder:
    """The velocity field of a context, which keeps what it gave."""

    def __init__(self, model: Pi0, context: Pi0Context) -> None:
        self.model, self.context, self.seen = model, context, list[F32]()

    @torch.no_grad()
    def __call__(self, x: F32, t: float) -> F32:
        v = self.model.velocity(torch.from_numpy(x[None]), torch.tensor([t]), self.context)
        self.seen.append(v[0].numpy())
        return self.seen[-1]


def _observation(spec: PolicySpec, rng: np.random.Generator) -> Observation:
    """Make an observation whose pictures are wider than the network's, so that they are padded."""
    example = spec.example(int(rng.integers(2**31)))
    images = {
        c.name: rng.integers(0, 256, (c.height, 3 * c.width // 2, 3), dtype=np.uint8)
        for c in spec.cameras
    }
    return replace(example, images=images)


def _guided(
    model: Pi0, spec: PolicySpec, contexts: list[Pi0Context], trace: F32
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
