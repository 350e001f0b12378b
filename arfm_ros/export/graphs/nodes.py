"""An ONNX graph written node by node, where a traced one would not be as fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

IR_VERSION = 10
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Ends = dict[str, Sequence[int | str]]  # shapes of float32 inputs or outputs by name


class Tensors:
    """The stored tensors of a graph and of the bodies in it, by name."""

    def __init__(self) -> None:
        self._values: dict[str, NDArray[np.generic]] = {}

    def keep(self, name: str, value: ArrayLike, kind: type = np.float32) -> str:
        """Store a tensor and return its name; the same name again has to be the same tensor."""
        self._values[name] = np.array(value, dtype=kind, order="C")
        return name

    def whole(self, name: str, values: ArrayLike) -> str:
        """Store integers."""
        return self.keep(name, values, np.int64)

    def used(self, names: set[str]) -> list[TensorProto]:
        """Give those that some node takes."""
        return [numpy_helper.from_array(v, n) for n, v in self._values.items() if n in names]


class Nodes:
    """Nodes in the order they run in; each output is named by hand."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.all: list[NodeProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        self.all.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def split(self, value: str, count: int, name: str, axis: int) -> list[str]:
        """Cut a tensor into `count` equal parts."""
        outputs = [f"{name}{i}" for i in range(count)]
        made = helper.make_node("Split", [value], outputs, name=name, axis=axis, num_outputs=count)
        self.all.append(made)
        return outputs

    def reshape(self, value: str, shape: Sequence[int], output: str) -> str:
        """View a tensor in another shape."""
        name = f"{output}_shape"  # beside it: inference of shapes does not look out of a body
        self.add("Constant", [], name, value_ints=list(shape))
        return self.add("Reshape", [value, name], output)

    def linear(self, value: str, layer: str, output: str) -> str:
        """Multiply rows by the weight [out, in] of a layer, and add its bias."""
        return self.add("Gemm", [value, f"{layer}.weight", f"{layer}.bias"], output, transB=1)

    def silu(self, value: str, output: str) -> str:
        """x / (1 + exp(-x)), see sigmoid.py for why not by the operator."""
        below = self.add("Neg", [value], f"{output}_below")
        power = self.add("Exp", [below], f"{output}_power")
        total = self.add("Add", [power, self.tensors.keep("one", 1.0)], f"{output}_total")
        return self.add("Div", [value, total], output)

    def taken(self) -> set[str]:
        """Name every input of every node."""
        return {name for node in self.all for name in node.input}


def model(nodes: Nodes, body: Nodes, inputs: Ends, outputs: Ends, opset: int) -> onnx.ModelProto:
    """Close a graph whose nodes, and those of the `body` in it, take its tensors."""
    ends = [
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    ]
    tensors = nodes.tensors.used(nodes.taken() | body.taken())
    graph: GraphProto = helper.make_graph(nodes.all, "chunk", *ends, tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
