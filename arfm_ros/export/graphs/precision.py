"""Graphs in half precision: products of matrices in fp16 or bf16, everything else in float32.

x, t, sums of residuals, norms and softmax stay in float32, as torch's autocast keeps them: the
weights decide the time of a step, and they are what becomes half as large. Inputs and outputs do
not change, so that the flow loop on the host does not either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from arfm_ros.core.errors import BundleError
from arfm_ros.export.graphs.layer_norm import expand_layer_norms

LOW = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"})
SMALL = 1024  # bytes; what is smaller stays in its graph


def convert(source: Path, target: Path, precision: str) -> int:
    """Write the graph `source` in `precision` to `target`, its weights to a file beside it.

    Returns how many products of matrices were converted. Raises `BundleError` for weights that
    the precision cannot hold.
    """
    model = onnx.load(source)
    _cast_bytes_first(model)
    _turn_weights(model)
    expand_layer_norms(model)
    count = lower(model, precision) if precision in LOW else 0
    data = target.with_suffix(target.suffix + ".data")
    data.unlink(missing_ok=True)  # onnx would append
    onnx.save_model(
        model,
        target,
        save_as_external_data=True,
        location=data.name,
        size_threshold=SMALL,
    )
    return count


def _cast_bytes_first(model: ModelProto) -> None:
    """Make float32 of uint8 inputs before anything else: TensorRT moves no bytes around."""
    graph = model.graph
    images = [v.name for v in graph.input if v.type.tensor_type.elem_type == TensorProto.UINT8]
    new = {name: f"{name}_float" for name in images}
    _rename_inputs(graph.node, new)
    casts = [_cast(old, name, TensorProto.FLOAT) for old, name in new.items()]
    _put_nodes(model, [*casts, *graph.node])
    del graph.value_info[:]  # types of what was uint8 until its own cast


def _turn_weights(model: ModelProto) -> None:
    """Transpose stored weights here instead of in the graph (see `weights.share_weights`)."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Transpose" or node.input[0] not in weights:
            nodes.append(node)
            continue
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        value = numpy_helper.to_array(weights[node.input[0]]).transpose(order)
        turned = numpy_helper.from_array(np.ascontiguousarray(value), node.output[0])
        model.graph.initializer.append(turned)
    _put_nodes(model, nodes)
    _drop_unused(model)


def lower(model: ModelProto, precision: str, but: Collection[str] = ()) -> int:
    """Have the products compute in `precision`, all `but` those of these names; count them."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    lowered: set[str] = set()  # names of float32 values that exist in low precision too
    nodes: list[NodeProto] = []
    count = 0
    for node in model.graph.node:
        if node.op_type not in PRODUCTS or (but and node.name in but):
            nodes.append(node)
            continue
        count += 1
        for name in dict.fromkeys(node.input):
            if not name or name in lowered:
                continue
            low = f"{name}_{precision}"
            if name in weights:
                model.graph.initializer.append(_low_tensor(weights[name], low, precision))
            else:
                nodes.append(_cast(name, low, LOW[precision]))
            lowered.add(name)
        node.input[:] = [name and f"{name}_{precision}" for name in node.input]
        result = node.output[0]
        node.output[0] = f"{result}_product"
        nodes += [node, _cast(node.output[0], result, TensorProto.FLOAT)]
    _put_nodes(model, nodes)
    _drop_unused(model)
    return count


def _low_tensor(tensor: TensorProto, name: str, precision: str) -> TensorProto:
    value = numpy_helper.to_array(tensor)
    kind = LOW[precision]
    with np.errstate(over="ignore"):
        low = value.astype(helper.tensor_dtype_to_np_dtype(kind))
    if not np.isfinite(low.astype(np.float32)).all():
        largest = float(np.abs(value).max())
        raise BundleError(
            f"weight {tensor.name} reaches {largest:.3g}, too much for {precision}: use bf16"
        )
    return helper.make_tensor(name, kind, list(value.shape), low.tobytes(), raw=True)


def _drop_unused(model: ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def _rename_inputs(nodes: Iterable[NodeProto], new: dict[str, str]) -> None:
    for node in nodes:
        node.input[:] = [new.get(name, name) for name in node.input]


def _put_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)
