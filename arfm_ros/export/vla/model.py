"""Export of a vision-language-action model that another library trained."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.core.values.spec import PolicySpec, Rtc
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
from arfm_ros.engines.gate.freeze import guidance_report
from arfm_ros.engines.gate.proof import proof
from arfm_ros.engines.gate.replay import Parity, replay
from arfm_ros.engines.inputs import TOKENIZER, Inputs
from arfm_ros.engines.load import load_policy
from arfm_ros.export.family import open_checkpoint
from arfm_ros.export.graphs.onnx import OPSET, finish, to_onnx
from arfm_ros.export.graphs.rtc import guided_graph
from arfm_ros.export.graphs.weights import share_weights
from arfm_ros.export.reference import save_reference
from arfm_ros.export.vla.card import write_vla_card
from arfm_ros.export.vla.interface import read_interface
from arfm_ros.export.vla.network import Opened, SplitNetwork
from arfm_ros.export.vla.reference import input_names, make_reference, tensors


class _Step(nn.Module):
    def __init__(self, model: SplitNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, *context: Tensor) -> Tensor:
        return self.model.velocity(x, t, self.model.context(*context))


class _Answer(_Step):
    """The step of a regression, which takes neither x nor t."""

    def forward(self, *context: Tensor) -> Tensor:
        return super().forward(torch.zeros(1), torch.zeros(1), *context)


def export_vla(
    source: str,
    interface: Path | None,
    out: Path,
    name: str,
    rtc: str | None = None,
    say: Callable[[str], None] = print,
) -> Parity:
    """Export the checkpoint folder of `source` (LIBRARY:FOLDER) as bundle `name` to `out`.

    `rtc` is "guided" (default of a flow) or "none". Parity is against the library's own sampler.
    Raises `BundleError` if the graphs differ from it, `ConfigError` for what is missing.
    """
    library, _, folder = source.partition(":")
    if interface is None:
        raise ConfigError(f"a checkpoint of {library} knows no joint names: give --interface FILE")
    if rtc == "prefix":
        raise ConfigError("rtc mode 'prefix' needs a policy trained for it: guided or none")
    opened = open_checkpoint(library, Path(folder), read_interface(interface), name)
    spec, kind = opened.spec, opened.spec.sampler.kind
    follows = kind == "flow" and not spec.past  # on from the previous chunk
    if not follows and rtc == "guided":
        told = f"{kind} with a past" if spec.past else kind
        raise ConfigError(f"rtc mode 'guided' needs a flow, '{name}' is {told}: none")
    if follows and rtc != "none":
        spec = replace(spec, rtc=Rtc("guided", 0, 3 * spec.horizon // 4))
    return write_bundle(replace(opened, spec=spec), out, say)


def write_bundle(opened: Opened, out: Path, say: Callable[[str], None] = print) -> Parity:
    """Write the bundle of a network to `out`: beside it first, moved there when it passed.

    `say` is told what it is at, for each part of a large network takes minutes. Raises
    `BundleError` if the graphs differ from the library's own sampler.
    """
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    parity = _fill(draft, opened, Timed(say))
    if not parity.passed:
        raise BundleError(f"the graphs differ from {opened.made_by}: {parity}; see {draft}")
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return parity


class Timed:
    """Tells what is begun, with the seconds since the first."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._begin_s = say, time.monotonic()

    def __call__(self, text: str) -> None:
        """Tell it."""
        self._say(f"{time.monotonic() - self._begin_s:4.0f} s: {text}")


def _fill(folder: Path, opened: Opened, say: Timed) -> Parity:
    spec, network = opened.spec, opened.network
    if opened.tokenizer:
        (folder / TOKENIZER).write_text(opened.tokenizer)
    inputs = Inputs(spec, folder)
    _export_graphs(folder, network, spec, tensors(inputs, spec.example(0)), say)
    say("writing the weights")
    graphs = [folder / n for n in (PREFIX, STEP, STEP_RTC) if (folder / n).exists()]
    share_weights(graphs, folder / WEIGHTS, _weights(network), {})
    made = {"torch": str(torch.__version__), "opset": OPSET}
    raw = {
        "spec": json.loads(spec.to_json()),
        "sha256": {file.name: file_sha256(file) for file in sorted(folder.iterdir())},
        "provenance": {"network": opened.made_by, "exported_with": made},
    }
    (folder / POLICY).write_text(json.dumps(raw, indent=1) + "\n")
    return _prove(folder, opened, inputs, say)


def _export_graphs(
    folder: Path, network: SplitNetwork, spec: PolicySpec, first: tuple[Tensor, ...], say: Timed
) -> None:
    say(f"tracing {PREFIX}")
    with torch.no_grad():
        context = network(*first)
    fields = list(network.context._fields)
    finish(to_onnx(network, first, input_names(spec), fields), folder / PREFIX)
    shape = (1, *spec.flow_shape)
    say(f"tracing {STEP}")
    if spec.sampler.kind == "regression":
        step = to_onnx(_Answer(network), tuple(context), fields, ["actions"])
    else:
        point = (torch.zeros(shape), torch.zeros(1))
        step = to_onnx(_Step(network), (*point, *context), ["x", "t", *fields], ["v"])
    finish(step, folder / STEP)
    if spec.rtc.mode == "guided":
        say(f"tracing {STEP_RTC}")
        finish(guided_graph(network, context, shape), folder / STEP_RTC)


def _weights(network: SplitNetwork) -> dict[str, NDArray[Any]]:
    """Give the parameters but for those that would speak; the same tensor has one name only."""
    named = network.named_parameters()
    return {name: p.detach().numpy() for name, p in named if "lm_head" not in name}


def _prove(folder: Path, opened: Opened, inputs: Inputs, say: Timed) -> Parity:
    spec = opened.spec
    say(f"computing what {opened.made_by} gives, for comparison")
    reference = make_reference(opened.network, spec, inputs, opened.commands)
    save_reference(reference, folder / REFERENCE)
    say("comparing the graphs with it")
    policy = load_policy(folder)
    parity = replay(policy, reference)
    say("measuring what following on costs and achieves")
    more = guidance_report(policy, reference) if spec.rtc.mode == "guided" else {}
    record = proof(load_bundle(folder), policy.runtime, parity) | more
    (folder / PARITY).write_text(json.dumps(record, indent=1) + "\n")
    write_vla_card(folder)
    return parity
