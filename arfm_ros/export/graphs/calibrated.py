"""Graphs whose products of matrices are in int8, fp8 or nvfp4, scaled by what was seen in them.

Each product with a stored weight takes both operands in fewer bits. An operand is scaled by the
largest value that samples gave it, a weight by its own. Products of two operands, as in attention,
go in another precision, the rest in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

from arfm_ros.export.graphs.nvfp4 import BLOCK, FourBits
from arfm_ros.export.graphs.precision import SMALL, lower
from arfm_ros.export.graphs.qdq import EightBits, Made

# Few bits of mantissa are too few for convolutions whose maxima say where a thing is
_MATRICES = frozenset({"MatMul", "Gemm"})
WEIGHED = {"int8": _MATRICES | {"Conv"}, "fp8": _MATRICES, "nvfp4": _MATRICES}


class Form(Protocol):
    """How a value and a weight are written in fewer bits."""

    def operand(self, name: str, result: str, largest: float) -> Made:
        """Make `result` of a value whose largest magnitude is known."""

    def weight(self, name: str, result: str, value: NDArray[np.float32], axis: int) -> Made:
        """Make `result` of a stored weight whose outputs lie along `axis`."""


def quantise_calibrated(
    draft: Path, target: Path, precision: str, largest: Mapping[str, float], engine: str
) -> int:
    """Write the float32 graph `draft` in `precision` to `target`, its weights to a file beside it.

    `largest` are the largest magnitudes of the operands, by name. The other products are in
    float32 for the `engine` onnx and in fp16 for others. Returns how many were quantised.
    """
    chosen = weighed_products(draft, precision)
    model = onnx.load(draft)
    products = [node for node in model.graph.node if node.output[0] in chosen]
    form = FourBits(engine != "onnx") if precision == "nvfp4" else EightBits(precision)
    _insert(model, products, largest, form)
    if engine != "onnx":
        lower(model, "fp16", {node.name for node in products})
    if isinstance(form, FourBits):
        form.close(model)
    data = target.with_suffix(target.suffix + ".data")
    data.unlink(missing_ok=True)  # onnx would append
    onnx.save_model(
        model, target, save_as_external_data=True, location=data.name, size_threshold=SMALL
    )
    return len(products)


def weighed_products(graph: Path, precision: str) -> dict[str, str]:
    """Give the products of an operand with a stored weight that go in `precision`.

    Maps the result of each to its operand. nvfp4 takes what TensorRT's operator does: an operand
    of two or three axes, the last a multiple of 16.
    """
    model = onnx.load(graph, load_external_data=False)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    found = [node for node in model.graph.node if node.op_type in WEIGHED[precision]]
    found = [node for node in found if node.input[1] in stored and node.input[0] not in stored]
    if precision == "nvfp4":
        shapes = _shapes(model)
        found = [node for node in found if _in_blocks(shapes.get(node.input[0], []), node, stored)]
    return {node.output[0]: node.input[0] for node in found}


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    graph = shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info]
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def _in_blocks(shape: list[int], node: NodeProto, stored: Mapping[str, TensorProto]) -> bool:
    """Tell whether what a product sums over can be cut into blocks, in both of its operands."""
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    whole = len(shape) in {2, 3} and shape[-1] > 0 and shape[-1] % BLOCK == 0
    return whole and not turned and len(stored[node.input[1]].dims) == 2  # noqa: PLR2004


def _insert(
    model: ModelProto, products: list[NodeProto], largest: Mapping[str, float], form: Form
) -> None:
    """Have the products take both operands in another `form`."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    before: dict[str, list[NodeProto]] = {}  # what has to be made before a node, by its name
    made: set[str] = set()
    for number, node in enumerate(products):
        node.name = node.name or f"product_{number}"
        turned = "_turned" * _unturn(node)
        operand, weight = node.input[0], f"{node.input[1]}{turned}"
        value = numpy_helper.to_array(stored[node.input[1]]).astype(np.float32)
        value = np.ascontiguousarray(value.T) if turned else value
        axis = 0 if node.op_type == "Conv" else value.ndim - 1
        node.input[0], node.input[1] = f"{operand}_low", f"{weight}_low"
        nodes = before.setdefault(node.name, [])
        if node.input[0] not in made:
            _add(model, nodes, form.operand(operand, node.input[0], largest[operand]))
        if node.input[1] not in made:
            _add(model, nodes, form.weight(weight, node.input[1], value, axis))
        made |= set(node.input[:2])
    ordered = [one for node in model.graph.node for one in (*before.get(node.name, ()), node)]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _add(model: ModelProto, nodes: list[NodeProto], made: Made) -> None:
    nodes += made[0]
    model.graph.initializer.extend(made[1])


def _unturn(node: NodeProto) -> bool:
    """Have a product no longer turn its weight; tell whether it did."""
    flags = [a for a in node.attribute if a.name == "transB" and a.i]
    for flag in flags:
        flag.i = 0
    return bool(flags)
