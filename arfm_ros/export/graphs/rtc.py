"""torch -> ONNX: step_rtc.onnx, one evaluation of the velocity given the previous chunk.

Guided: Black, Galliker, Levine: Real-Time Execution of Action Chunking Flow Policies (2025), with
the exact vector-Jacobian product through the velocity network. Prefix: the network was trained
with frozen first actions and takes them as an input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from arfm_ros.engines.bundle import STEP_RTC
from arfm_ros.export.graphs.onnx import (
    APART,
    PrefixGraph,
    example_inputs,
    finish,
    take_names,
    to_onnx,
)
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy

GUIDED_INPUTS = ("x", "t", "previous", "weights", "clip")
PREFIX_INPUTS = ("x", "t", "previous", "weights")


class GuidedStepGraph(nn.Module):
    """One evaluation of the velocity, drawn towards the previous chunk."""

    def __init__(self, model: nn.Module, context: type[Any] = EncodedContext) -> None:
        super().__init__()
        self.model, self.context = model, context

    def forward(self, x: Tensor, t: Tensor, previous: Tensor, *more: Tensor) -> Tensor:
        """Map x, previous [1, H, A], t, clip [1], weights [1, H] and the context to v [1, H, A].

        v + min(clip, (t^2 + (1-t)^2) / (t (1-t))) (previous - x_1)^T diag(weights) dx_1/dx with
        x_1 = x + (1 - t) v.
        """
        weights, clip, *context = more
        left = (1 - t)[:, None, None]

        def arrive(x: Tensor) -> tuple[Tensor, Tensor]:
            v = self.model.velocity(x, t, self.context(*context))
            return x + left * v, v

        arrival, pull_back, v = torch.func.vjp(arrive, x, has_aux=True)
        (pull,) = pull_back((previous - arrival) * weights[:, :, None])
        gain = (t * t + (1 - t) ** 2) / (t * (1 - t)).clamp(min=1e-6)
        return v + torch.minimum(clip, gain)[:, None, None] * pull


class PrefixStepGraph(nn.Module):
    """One evaluation of the velocity that follows on from frozen actions."""

    def __init__(self, model: FlowPolicy) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, previous: Tensor, *more: Tensor) -> Tensor:
        """Map x, previous [1, H, A], t [1], weights [1, H] and the context to v [1, H, A].

        Actions of weight 1 are frozen: the network sees them as in `previous`, and x goes there
        in a straight line.
        """
        weights, *context = more
        return follow_on(self.model, EncodedContext(*context), (x, t), (previous, weights))


def follow_on(
    model: FlowPolicy,
    context: EncodedContext,
    point: tuple[Tensor, Tensor],
    given: tuple[Tensor, Tensor],
) -> Tensor:
    """Velocity [B, H, A] at `point` (x [B, H, A], t [B]) given previous [B, H, A], weights [B, H].

    What `PrefixStepGraph` computes.
    """
    (x, t), (previous, weights) = point, given
    frozen = weights >= 1.0
    apart = frozen[:, :, None]
    v = model.velocity(torch.where(apart, previous, x), t, context, frozen)
    straight = (previous - x) / (1 - t).clamp(min=1e-6)[:, None, None]
    return torch.where(apart, straight, v)


def export_prefix_step(model: FlowPolicy, folder: Path) -> None:
    """Write step_rtc.onnx (batch 1, float32) of a `model` trained with frozen actions."""
    model.eval()
    with torch.no_grad():
        context = PrefixGraph(model)(*example_inputs(model))
    shape = (1, model.config.horizon, model.config.actions)
    inputs = (torch.zeros(shape), torch.full((1,), 0.5), torch.zeros(shape), torch.ones(shape[:2]))
    names = [*PREFIX_INPUTS, *EncodedContext._fields]
    finish(to_onnx(PrefixStepGraph(model), (*inputs, *context), names, ["v"]), folder / STEP_RTC)


def export_guided_step(model: FlowPolicy, folder: Path) -> None:
    """Write step_rtc.onnx (batch 1, float32) of `model` beside the step.onnx in `folder`.

    The derivative is traced to plain operators first: exporting `torch.func.vjp` itself fails.
    """
    model.eval()
    with torch.no_grad():
        context = EncodedContext(*PrefixGraph(model)(*example_inputs(model)))
    shape = (1, model.config.horizon, model.config.actions)
    finish(guided_graph(model, context, shape), folder / STEP_RTC)


def guided_graph(model: nn.Module, context: Any, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """Trace the guided step of a `model` with velocity(x of `shape`, t, context) -> v.

    `context` is a NamedTuple of example tensors; the graph's inputs have the names of its fields.
    """
    inputs = guided_inputs(shape, context)
    traced = trace_guided_step(model, type(context), inputs)
    names = [*GUIDED_INPUTS, *context._fields]
    graph = to_onnx(traced, inputs, [APART + name for name in names], [APART + "v"])
    take_names(graph.graph, [*names, "v"])
    return graph


def guided_inputs(shape: tuple[int, int, int], context: Any) -> tuple[Tensor, ...]:
    """Make example inputs of the guided step: x of `shape`, then a context's."""
    # one tensor each: the tracer takes inputs that are the same object for one input
    x, previous = torch.zeros(shape), torch.zeros(shape)
    return (x, torch.full((1,), 0.5), previous, torch.ones(shape[:2]), torch.ones(1), *context)


def trace_guided_step(
    model: nn.Module, context: type[Any], inputs: tuple[Tensor, ...]
) -> torch.fx.GraphModule:
    """Trace the guided step, derivative included, to plain operators at `inputs`.

    `inputs` are example tensors of `GUIDED_INPUTS` and of the fields of `context`, no two of them
    the same object.
    """
    frozen = [p for p in model.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    traced = make_fx(GuidedStepGraph(model, context), tracing_mode="real")(*inputs)
    for parameter in frozen:
        parameter.requires_grad_(True)
    return traced
