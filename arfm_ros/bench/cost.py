"""What a graph has to do at least: floating point operations and bytes, counted from its nodes.

Operations are those of products of matrices and convolutions, a multiplication and an addition
counted as two; everything else is small beside them in these networks. Bytes are what no runtime
can avoid: every weight read once, inputs read once, outputs written once. Of a table that is only
looked up (Gather), the rows that come out count. Weights are not loaded for this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper, inliner, shape_inference

from arfm_ros.bench.amounts import Cost
from arfm_ros.core.errors import BundleError

Shape = tuple[int, ...]
# May multiply matrices, by rules that are not counted here
UNCOUNTED = frozenset({
    *("If", "Scan", "LSTM", "GRU", "RNN"),
    *("QLinearMatMul", "QLinearConv", "DeformConv"),
})


def count(path: Path, steps: int = 1) -> Cost:
    """Count one run of the ONNX graph at `path`; `steps` is how often a loop in it runs.

    A dimension of an input that is not fixed is taken as `steps`. Raises `BundleError` naming the
    node whose operator or shape cannot be counted.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        model = inliner.inline_local_functions(model)
        _fix(model.graph, steps)
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:  # noqa: BLE001  onnx and protobuf have no common error
        raise BundleError(f"{path} is no graph that can be read: {error}") from error
    try:
        flops, moved = _work(graph, {}, {}, steps)
        resident = _work(graph, {}, {}, 1)[1]
        shapes, ends = _shapes(graph), [*graph.input, *graph.output]
        io = sum(_size(shapes[v.name], v.type.tensor_type.elem_type) for v in ends)
    except KeyError as error:
        raise BundleError(f"{path.name}: the shape of {error} is not fixed") from error
    except ValueError as error:
        raise BundleError(f"{path.name}: {error}") from error
    return Cost(flops, moved, io, resident + io)


def _fix(graph: onnx.GraphProto, steps: int) -> None:
    """Give the number of steps, which a graph of a whole chunk leaves open."""
    if not any(node.op_type == "Loop" for node in graph.node):
        return
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.HasField("dim_param"):
                size.dim_value = steps


def _work(
    graph: onnx.GraphProto,
    outer: Mapping[str, Shape],
    kept: Mapping[str, tuple[Shape, int]],
    steps: int,
) -> tuple[int, int]:
    """Count operations and bytes of weights, those of the body of a loop `steps` times."""
    weights = {**kept, **_weights(graph)}
    shapes = {**outer, **_shapes(graph)}
    shapes.update({name: shape for name, (shape, _) in weights.items()})
    plain = [node for node in graph.node if node.op_type != "Loop"]
    flops = sum(_flops(node, shapes) for node in plain)
    moved = _weight_bytes(plain, weights, shapes)
    for node in graph.node:
        if node.op_type == "Loop":
            body = next(a.g for a in node.attribute if a.name == "body")
            inner_flops, inner_bytes = _work(body, shapes, weights, steps)
            flops, moved = flops + steps * inner_flops, moved + steps * inner_bytes
    return flops, moved


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    """Collect the shapes that are fixed; a dimension without a value leaves its tensor out."""
    found = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            found[value.name] = tuple(d.dim_value for d in kind.shape.dim)
    return found


def _weights(graph: onnx.GraphProto) -> dict[str, tuple[Shape, int]]:
    """Give shape and type of every stored tensor."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    return {name: (tuple(t.dims), t.data_type) for name, t in tensors.items()}


def _weight_bytes(
    nodes: Iterable[NodeProto], weights: Mapping[str, tuple[Shape, int]], shapes: dict[str, Shape]
) -> int:
    whole: set[str] = set()
    rows: dict[str, int] = {}  # of tables
    for node in nodes:
        for i, name in enumerate(node.input):
            if name not in weights:
                continue
            if node.op_type == "Gather" and i == 0:
                looked_up = _size(shapes[node.output[0]], weights[name][1])
                rows[name] = rows.get(name, 0) + looked_up
            else:
                whole.add(name)
    sizes = {name: _size(*weights[name]) for name in {*whole, *rows}}
    read = sum(sizes[name] for name in whole)
    return read + sum(min(n, sizes[name]) for name, n in rows.items() if name not in whole)


def _size(shape: Shape, kind: int) -> int:
    if kind in {TensorProto.INT4, TensorProto.UINT4}:
        return (math.prod(shape) + 1) // 2
    return math.prod(shape) * helper.tensor_dtype_to_np_dtype(kind).itemsize


def _flops(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    if node.domain not in {"", "ai.onnx"} or node.op_type in UNCOUNTED:
        operator = f"{node.domain}.{node.op_type}".lstrip(".")
        raise ValueError(f"node {node.name} is {operator}, whose cost is not known")
    rule = RULES.get(node.op_type)
    if rule is None:
        return 0
    inputs = [shapes[name] for name in node.input if name]
    return 2 * rule(node, inputs, shapes[node.output[0]])


def _matmul(node: NodeProto, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output) * inputs[0][-1]


def _gemm(node: NodeProto, inputs: Sequence[Shape], output: Shape) -> int:
    summed = inputs[0][0] if _attribute(node, "transA", 0) else inputs[0][1]
    return math.prod(output) * summed


def _conv(node: NodeProto, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(output) * math.prod(inputs[1][1:])  # kernel: [out, in / groups, ...]


def _conv_transpose(node: NodeProto, inputs: Sequence[Shape], output: Shape) -> int:
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])  # kernel: [in, out / groups, ...]


def _einsum(node: NodeProto, inputs: Sequence[Shape], output: Shape) -> int:
    """Multiply the sizes of all letters; with one operand nothing is multiplied."""
    equation = _attribute(node, "equation", b"").decode().replace(" ", "")
    letters = equation.split("->")[0].split(",")
    if len(letters) > 2 or "." in equation:
        raise ValueError(f"node {node.name} is Einsum '{equation}', whose cost is not known")
    sizes = {a: n for word, shape in zip(letters, inputs) for a, n in zip(word, shape)}
    return math.prod(sizes.values()) if len(letters) == 2 else 0


def _attention(node: NodeProto, inputs: Sequence[Shape], output: Shape) -> int:
    """Both products: [L, E] [E, S] and [L, S] [S, V] of each head, past keys refused."""
    query, key, value = inputs[:3]
    if any(node.input[4:]):
        raise ValueError(f"node {node.name} is Attention with a past, whose cost is not known")
    tokens, seen = query[-2], key[-2]
    if len(query) == 4:
        batch_heads = query[0] * query[1]
        return batch_heads * tokens * seen * (query[3] + value[3])
    shared = int(_attribute(node, "q_num_heads", 1)) // int(_attribute(node, "kv_num_heads", 1))
    return query[0] * tokens * seen * (query[2] + shared * value[2])


RULES: Mapping[str, Callable[[NodeProto, Sequence[Shape], Shape], int]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Attention": _attention,
}


def _attribute(node: NodeProto, name: str, default: Any) -> Any:
    found = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return next(found, default)
