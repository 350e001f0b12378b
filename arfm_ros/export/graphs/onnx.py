"""torch -> ONNX: the prefix graph (observation -> context) and the step graph (x, t -> v)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from arfm_ros.export.graphs.sigmoid import expand_sigmoids
from arfm_ros.learn.model.network import EncodedContext, FlowPolicy, to_float

OPSET = 20
ROOM = 2**30  # bytes of weights in a graph's file, which cannot grow beyond 2 GiB
PREFIX, STEP = "prefix.onnx", "step.onnx"
APART = "given_"  # keeps the names of inputs apart from those the tracer invents


class PrefixGraph(nn.Module):
    """Everything that is computed once per observation; images come as the camera's bytes."""

    def __init__(self, model: FlowPolicy) -> None:
        super().__init__()
        self.model = model
        self.names = [name for name, _, _ in model.config.cameras]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 images [1, H, W, 3], state [1, S] and tokens [1, L] to the context."""
        *images, state, tokens = inputs
        floats = {name: to_float(image) for name, image in zip(self.names, images)}
        context, _ = self.model.encode(floats, state, tokens)
        return tuple(context)


class StepGraph(nn.Module):
    """One evaluation of the velocity."""

    def __init__(self, model: FlowPolicy) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, *context: Tensor) -> Tensor:
        """Map x [1, H, A], t [1] and the context to v [1, H, A]."""
        return self.model.velocity(x, t, EncodedContext(*context))


def example_inputs(model: FlowPolicy) -> tuple[Tensor, ...]:
    """Make inputs of the prefix graph with the right shapes and types."""
    config = model.config
    images = [torch.zeros(1, h, w, 3, dtype=torch.uint8) for _, h, w in config.cameras]
    state = torch.zeros(1, config.state)
    return (*images, state, torch.ones(1, config.tokens, dtype=torch.int64))


def export_graphs(model: FlowPolicy, folder: Path) -> None:
    """Write prefix.onnx and step.onnx (batch 1, float32) of `model` into `folder`."""
    model.eval()
    config = model.config
    prefix = PrefixGraph(model)
    inputs = example_inputs(model)
    names = [f"image_{name}" for name, _, _ in config.cameras] + ["state", "tokens"]
    context_names = list(EncodedContext._fields)
    finish(to_onnx(prefix, inputs, names, context_names), folder / PREFIX)
    with torch.no_grad():
        context = prefix(*inputs)
    noise = (torch.zeros(1, config.horizon, config.actions), torch.zeros(1))
    step = to_onnx(StepGraph(model), (*noise, *context), ["x", "t", *context_names], ["v"])
    finish(step, folder / STEP)


def to_onnx(
    module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]
) -> onnx.ModelProto:
    """Trace `module` with example `inputs` into a graph of standard operators."""
    graph: onnx.ModelProto = to_program(module, inputs, names, outputs).model_proto
    return graph


def to_program(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    keep: Callable[[Any], Any] = lambda value: None,
) -> Any:
    """Trace `module` to torch's `ONNXProgram`, whose constants are still torch's tensors.

    What takes a value that `keep` is true of is not computed now: a copy of a weight is not made.
    """
    from onnxscript.optimizer import optimize_ir

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export returned nothing: dynamo=True needs onnxscript")

        def computed_now(node: Any) -> bool | None:
            kept = any(value is not None and keep(value) for value in node.inputs)
            return False if kept else None

        optimize_ir(program.model, should_fold=computed_now)
    return program


def finish(graph: onnx.ModelProto, path: Path) -> None:
    """Check a graph and write it to `path`; weights for which one file has no room, beside it."""
    _forget_origin(graph)
    expand_sigmoids(graph)
    if sum(len(tensor.raw_data) for tensor in graph.graph.initializer) > ROOM:
        beside = beside_of(path).name
        beside_of(path).unlink(missing_ok=True)  # the library would append
        onnx.save_model(graph, path, save_as_external_data=True, location=beside)
    else:
        path.write_bytes(graph.SerializeToString())
    onnx.checker.check_model(str(path))


def beside_of(path: Path) -> Path:
    """Name the file of the weights that do not fit into a graph's own."""
    return path.with_suffix(".data")


def _forget_origin(graph: onnx.ModelProto) -> None:
    """Drop stack traces and source paths: the file has to be the same wherever it is made."""
    del graph.metadata_props[:]
    graph.doc_string = ""
    for node in [*graph.graph.node, *(n for f in graph.functions for n in f.node)]:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*graph.graph.value_info, *graph.graph.input, *graph.graph.output]:
        del value.metadata_props[:]


def take_names(graph: onnx.GraphProto, names: list[str]) -> None:
    """Give inputs and output their names, and what the tracer called so another one."""
    new = {name: f"{name}_inner" for name in names}
    new |= {APART + name: name for name in names}
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [new.get(name, name) for name in field]
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in values:
            value.name = new.get(value.name, value.name)
