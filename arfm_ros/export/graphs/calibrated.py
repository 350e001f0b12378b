"""Graphs whose products of matrices are in int8 or fp8, scaled by what was seen in them.

Each product with a stored weight takes both operands through QuantizeLinear and DequantizeLinear,
which is how TensorRT and onnxruntime are told to compute it in eight bits (ONNX's QDQ form). An
operand is scaled by the largest value that samples gave it, a weight by the largest of each of
its outputs. Products of two operands, as in attention, go in another precision, the rest in
float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from arfm_ros.export.graphs.precision import SMALL, lower

# Three bits of mantissa are too few for convolutions whose maxima say where a thing is
WEIGHED = {"int8": frozenset({"MatMul", "Gemm", "Conv"}), "fp8": frozenset({"MatMul", "Gemm"})}
LARGEST = {"int8": 127.0, "fp8": 448.0}  # of float8 E4M3
KINDS = {"int8": TensorProto.INT8, "fp8": TensorProto.FLOAT8E4M3FN}
LEAST = 1e-12  # of a scale: what was 0 in every sample


def quantise_calibrated(
    draft: Path, target: Path, precision: str, largest: Mapping[str, float], rest: str
) -> int:
    """Write the float32 graph `draft` in `precision` to `target`, its weights to a file beside it.

    `largest` are the largest magnitudes of the operands, by name; the other products go in `rest`,
    fp32 or fp16. Returns how many products were quantised.
    """
    model = onnx.load(draft)
    products = weighed_products(model, precision)
    _insert(model, products, largest, precision)
    if rest != "fp32":
        lower(model, rest, {node.name for node in products})
    data = target.with_suffix(target.suffix + ".data")
    data.unlink(missing_ok=True)  # onnx would append
    onnx.save_model(
        model, target, save_as_external_data=True, location=data.name, size_threshold=SMALL
    )
    return len(products)


def weighed_products(model: ModelProto, precision: str) -> list[NodeProto]:
    """List the products of an operand with a stored weight that go in `precision`."""
    stored = {tensor.name for tensor in model.graph.initializer}
    found = [node for node in model.graph.node if node.op_type in WEIGHED[precision]]
    return [node for node in found if node.input[1] in stored and node.input[0] not in stored]


def _insert(
    model: ModelProto, products: list[NodeProto], largest: Mapping[str, float], precision: str
) -> None:
    """Put QuantizeLinear and DequantizeLinear before both operands of the products."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    before: dict[str, list[NodeProto]] = {}  # what has to be made before a node, by its name
    made: set[str] = set()
    for number, node in enumerate(products):
        node.name = node.name or f"product_{number}"
        turned = "_turned" * _unturn(node)
        operand, weight = node.input[:2]
        node.input[0], node.input[1] = f"{operand}_{precision}", f"{weight}{turned}_{precision}"
        nodes = before.setdefault(node.name, [])
        if node.input[0] not in made:
            nodes += _operand(model, operand, largest[operand], precision)
        if node.input[1] not in made:
            value = numpy_helper.to_array(stored[weight]).astype(np.float32)
            value = np.ascontiguousarray(value.T) if turned else value
            axis = 0 if node.op_type == "Conv" else value.ndim - 1
            nodes += _weight(model, (f"{weight}{turned}", value), axis, precision)
        made |= set(node.input[:2])
    ordered = [one for node in model.graph.node for one in (*before.get(node.name, ()), node)]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _operand(model: ModelProto, name: str, largest: float, precision: str) -> list[NodeProto]:
    scale = np.float32(max(largest, LEAST) / LARGEST[precision])
    ends = [f"{name}_scale", f"{name}_zero"]
    model.graph.initializer.append(numpy_helper.from_array(np.array(scale), ends[0]))
    model.graph.initializer.append(_tensor(np.zeros((), np.float32), ends[1], precision))
    return [
        _node("QuantizeLinear", [name, *ends], f"{name}_eight"),
        _node("DequantizeLinear", [f"{name}_eight", *ends], f"{name}_{precision}"),
    ]


def _weight(
    model: ModelProto, weight: tuple[str, NDArray[np.float32]], axis: int, precision: str
) -> list[NodeProto]:
    """Store a weight, (name, value), with a scale for each of the outputs along `axis`."""
    name, value = weight
    others = tuple(i for i in range(value.ndim) if i != axis)
    scale = np.maximum(np.abs(value).max(axis=others), LEAST) / LARGEST[precision]
    wide = scale.reshape([-1 if i == axis else 1 for i in range(value.ndim)])
    ends = [f"{name}_scale", f"{name}_zero"]
    model.graph.initializer.extend([
        _tensor(value / wide, f"{name}_eight", precision),
        numpy_helper.from_array(scale.astype(np.float32), ends[0]),
        _tensor(np.zeros(scale.shape, np.float32), ends[1], precision),
    ])
    return [_node("DequantizeLinear", [f"{name}_eight", *ends], f"{name}_{precision}", axis=axis)]


def _unturn(node: NodeProto) -> bool:
    """Have a product no longer turn its weight; tell whether it did."""
    flags = [a for a in node.attribute if a.name == "transB" and a.i]
    for flag in flags:
        flag.i = 0
    return bool(flags)


def _tensor(value: NDArray[np.float32], name: str, precision: str) -> TensorProto:
    kind = KINDS[precision]
    whole = np.clip(np.rint(value), -127, 127) if precision == "int8" else value
    low = whole.astype(helper.tensor_dtype_to_np_dtype(kind))
    return helper.make_tensor(name, kind, list(value.shape), low.tobytes(), raw=True)


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes)
