"""Export of a vision-language-action model that another library trained."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.core.values.spec import Rtc
from arfm_ros.engines.bundle import (
    POLICY,
    PREFIX,
    REFERENCE,
    STEP,
    STEP_RTC,
    VIEW,
    WEIGHTS,
    file_sha256,
)
from arfm_ros.engines.gate.replay import Parity
from arfm_ros.engines.inputs import TOKENIZER, Inputs
from arfm_ros.export.family import open_checkpoint
from arfm_ros.export.graphs.onnx import OPSET
from arfm_ros.export.reference import save_reference
from arfm_ros.export.vla.interface import read_interface
from arfm_ros.export.vla.network import STATE_IN_STEP, ByView, Opened
from arfm_ros.export.vla.price import price
from arfm_ros.export.vla.proving import prove
from arfm_ros.export.vla.pruning import check_share
from arfm_ros.export.vla.reference import make_reference, tensors
from arfm_ros.export.vla.stored import store_weights
from arfm_ros.export.vla.tracing import Tracer

HAVE_VIEWS = "SmolVLA, pi0 and pi0.5 of LeRobot and of openpi"


@dataclass(frozen=True, slots=True)
class VlaRunning:
    """How an exported checkpoint is run."""

    rtc: str | None = None  # "guided" (None: the default of a flow) or "none"
    weights: str = "fp32"  # what matrices are stored in: fp32, bf16 or fp16
    keep_tokens: float = 1.0  # share of a picture's tokens that goes into the prefix
    views: bool = False  # a graph of one picture, run for each camera, apart from the prefix


def export_vla(
    source: str,
    interface: Path | None,
    out: Path,
    name: str,
    running: VlaRunning = VlaRunning(),
    say: Callable[[str], None] = print,
) -> Parity:
    """Export the checkpoint folder of `source` (LIBRARY:FOLDER) as bundle `name` to `out`.

    Parity is against the library's own sampler, which computes with the weights as stored.
    Raises `BundleError` if the graphs differ from it, `ConfigError` for what is missing.
    """
    library, _, folder = source.partition(":")
    if interface is None:
        raise ConfigError(f"a checkpoint of {library} knows no joint names: give --interface FILE")
    rtc = running.rtc
    if rtc == "prefix":
        raise ConfigError("rtc mode 'prefix' needs a policy trained for it: guided or none")
    opened = open_checkpoint(library, Path(folder), read_interface(interface), name)
    apart = STATE_IN_STEP.get(opened.network.context, "")
    spec, kind = replace(opened.spec, state_in_step=apart), opened.spec.sampler.kind
    follows = spec.follows
    if not follows and rtc == "guided":
        more = "a past" * bool(spec.past) or "spare rows" * bool(spec.spare)
        told = f"{kind} with {more}" if more else kind
        raise ConfigError(f"rtc mode 'guided' needs a flow, '{name}' is {told}: none")
    if follows and rtc != "none":
        spec = replace(spec, rtc=Rtc("guided", 0, 3 * spec.horizon // 4))
    _by_view(opened, running)
    return write_bundle(replace(opened, spec=spec), out, running, say)


def _by_view(opened: Opened, running: VlaRunning) -> None:
    """Set what concerns each picture. Raises `ConfigError` where the network has none apart."""
    share = check_share(running.keep_tokens)
    if isinstance(opened.network, ByView):
        opened.network.tokens.share = share
    elif running.views or share < 1.0:
        raise ConfigError(
            f"--views, --keep-tokens: {opened.made_by} has no pictures apart; {HAVE_VIEWS} have"
        )


def write_bundle(
    opened: Opened,
    out: Path,
    running: VlaRunning = VlaRunning(),
    say: Callable[[str], None] = print,
) -> Parity:
    """Write the bundle of a network to `out`: beside it first, moved there when it passed.

    Whatever the weights are stored in, graphs compute in float32. `say` is told what it is at, for
    each part of a large network takes minutes. Raises `BundleError` if the graphs differ from the
    library's own sampler.
    """
    if out.exists() and any(out.iterdir()) and not (out / POLICY).exists():
        raise BundleError(f"{out} holds something that is no bundle: choose another --out")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    parity = _fill(draft, opened, running, Timed(say))
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


def _fill(folder: Path, opened: Opened, running: VlaRunning, say: Timed) -> Parity:
    spec, network, weights = opened.spec, opened.network, running.weights
    if opened.tokenizer:
        (folder / TOKENIZER).write_text(opened.tokenizer)
    inputs = Inputs(spec, folder)
    say(f"writing the weights in {weights}")
    before = _rounding_probe(opened, inputs) if weights != "fp32" else None
    places = store_weights(network, folder / WEIGHTS, weights)
    tracer = Tracer(network, spec, folder / WEIGHTS, places)
    _export_graphs(tracer, inputs, running.views, say)
    made = {"torch": str(torch.__version__), "opset": OPSET, "weights": weights}
    raw = {
        "spec": json.loads(spec.to_json()),
        "sha256": {file.name: file_sha256(file) for file in sorted(folder.iterdir())},
        "provenance": {"network": opened.made_by, "exported_with": made},
    }
    (folder / POLICY).write_text(json.dumps(raw, indent=1) + "\n")
    say(f"computing what {opened.made_by} gives, for comparison")
    with all_threads():
        reference = make_reference(network, spec, inputs, opened.commands)
    save_reference(reference, folder / REFERENCE)
    if before is not None:
        share = _relative(_rounding_probe(opened, inputs), before)
        say(f"storing the weights in {weights} changed a chunk by {share:.1e} of its size")
    lost = price(opened, inputs, reference, say) if running.keep_tokens < 1.0 else {}
    return prove(folder, say, lost)


def _export_graphs(tracer: Tracer, inputs: Inputs, views: bool, say: Timed) -> None:
    spec = tracer.spec
    say(f"tracing {f'{VIEW} and ' * views}{PREFIX}")
    prefix = tracer.prefix_by_view if views else tracer.prefix
    context = prefix(tensors(inputs, spec.example(0)))
    say(f"tracing {STEP}")
    tracer.step(context)
    if spec.rtc.mode == "guided":
        say(f"tracing {STEP_RTC}")
        tracer.guided_step(context)


def _rounding_probe(opened: Opened, inputs: Inputs) -> Tensor:
    """Let the library compute a chunk with the weights as they are now."""
    spec = opened.spec
    noise = torch.randn((1, *spec.flow_shape), generator=torch.Generator().manual_seed(0))
    prepared = tensors(inputs, spec.example(0))
    with all_threads():
        return opened.network.library_chunk(prepared, noise, spec.steps).clone()


@contextmanager
def all_threads() -> Generator[None, None, None]:
    """Compute on every core; tracing, which is Python, only waits for other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _relative(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference as a share of the output's size, at least of 1."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))
