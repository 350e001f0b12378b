"""LayerNormalization written out where its mean and deviation are used too.

The derivative of a guided step reads them, and TensorRT's operator gives the result alone.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

EPSILON = 1e-5  # of the operator where the node says none


def expand_layer_norms(model: ModelProto) -> int:
    """Replace such nodes of `model` by sums and products; returns how many.

    y = (x - mean) invstd scale + bias over the last axes (ONNX, LayerNormalization). Nodes whose
    axis counts from the front stay as they are.
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    nodes: list[NodeProto] = []
    count = 0
    for node in graph.node:
        more = [name for name in node.output[1:] if name in used]
        axis = _attribute(node, "axis", -1)
        if node.op_type != "LayerNormalization" or axis >= 0:
            nodes.append(node)
        elif not more:
            del node.output[1:]
            nodes.append(node)
        else:
            count += 1
            nodes += _expand(model, node, int(axis))
    del graph.node[:]
    graph.node.extend(nodes)
    return count


def _expand(model: ModelProto, node: NodeProto, axis: int) -> list[NodeProto]:
    x, scale, *bias = node.input
    y, *more = node.output
    mean, inverse = (*more, "", "")[:2]
    mean, inverse = mean or f"{y}_mean", inverse or f"{y}_inverse"
    epsilon = np.float32(_attribute(node, "epsilon", EPSILON))
    constants = {"axes": np.arange(axis, 0), "epsilon": epsilon}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"{y}_{name}")
        for name, value in constants.items()
    )
    parts = [
        ("ReduceMean", [x, f"{y}_axes"], mean),
        ("Sub", [x, mean], f"{y}_centred"),
        ("Mul", [f"{y}_centred", f"{y}_centred"], f"{y}_square"),
        ("ReduceMean", [f"{y}_square", f"{y}_axes"], f"{y}_variance"),
        ("Add", [f"{y}_variance", f"{y}_epsilon"], f"{y}_positive"),
        ("Sqrt", [f"{y}_positive"], f"{y}_deviation"),
        ("Reciprocal", [f"{y}_deviation"], inverse),
        ("Mul", [f"{y}_centred", inverse], f"{y}_unit"),
        ("Mul", [f"{y}_unit", scale], f"{y}_scaled" if bias else y),
    ]
    parts += [("Add", [f"{y}_scaled", bias[0]], y)] if bias else []
    return [
        helper.make_node(kind, inputs, [output], name=f"{y}_{kind}_{i}")
        for i, (kind, inputs, output) in enumerate(parts)
    ]


def _attribute(node: NodeProto, name: str, default: float) -> float:
    found = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return float(next(found, default))
