"""int8 and fp8 in a graph: QuantizeLinear and DequantizeLinear before both operands of a product.

TensorRT and onnxruntime compute such a product in eight bits (ONNX's QDQ form).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Made = tuple[list[NodeProto], list[TensorProto]]  # nodes in their order, what they have stored
LARGEST = {"int8": 127.0, "fp8": 448.0}  # of float8 E4M3
KINDS = {"int8": TensorProto.INT8, "fp8": TensorProto.FLOAT8E4M3FN}
LEAST = 1e-12  # of a scale: what was 0 in every sample


def make(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    """Make a node that is named by its output."""
    return helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes)


class EightBits:
    """One scale for an operand, one for each output of a weight."""

    def __init__(self, precision: str) -> None:
        self.precision = precision

    def operand(self, name: str, result: str, largest: float) -> Made:
        """Make `result` of the value `name`, scaled by its `largest` magnitude."""
        scale = np.float32(max(largest, LEAST) / LARGEST[self.precision])
        ends = [f"{name}_scale", f"{name}_zero"]
        stored = [
            numpy_helper.from_array(np.array(scale), ends[0]),
            self._tensor(np.zeros((), np.float32), ends[1]),
        ]
        return [
            make("QuantizeLinear", [name, *ends], f"{name}_eight"),
            make("DequantizeLinear", [f"{name}_eight", *ends], result),
        ], stored

    def weight(self, name: str, result: str, value: NDArray[np.float32], axis: int) -> Made:
        """Make `result` of a stored weight, with a scale for each of the outputs along `axis`."""
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = np.maximum(np.abs(value).max(axis=others), LEAST) / LARGEST[self.precision]
        wide = scale.reshape([-1 if i == axis else 1 for i in range(value.ndim)])
        ends = [f"{name}_scale", f"{name}_zero"]
        stored = [
            self._tensor(value / wide, f"{name}_eight"),
            numpy_helper.from_array(scale.astype(np.float32), ends[0]),
            self._tensor(np.zeros(scale.shape, np.float32), ends[1]),
        ]
        return [make("DequantizeLinear", [f"{name}_eight", *ends], result, axis=axis)], stored

    def _tensor(self, value: NDArray[np.float32], name: str) -> TensorProto:
        kind = KINDS[self.precision]
        whole = np.clip(np.rint(value), -127, 127) if self.precision == "int8" else value
        low = whole.astype(helper.tensor_dtype_to_np_dtype(kind))
        return helper.make_tensor(name, kind, list(value.shape), low.tobytes(), raw=True)
