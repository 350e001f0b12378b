"""nvfp4 in a graph: both operands of a product in four bits, a scale for each 16 of their numbers.

A number is E2M1: 0, 0.5, 1, 1.5, 2, 3, 4 or 6 with a sign. Sixteen along the axis that is summed
over share a scale, the largest of them / 6, which is E4M3 itself, of one float32 scale for the
whole tensor ("Quantization Schemes" of TensorRT's documentation). An operand's scales are computed
at run time, its tensor's scale is that of the calibration.

TensorRT has an operator for this (`TRT_FP4DynamicQuantize`). No other runtime has: for those the
same numbers are computed in float32, which is slower than float32 alone and shows what it costs.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import FunctionProto, ModelProto, TensorProto, helper, numpy_helper

from arfm_ros.export.graphs.qdq import LEAST, Made, make

BLOCK = 16  # numbers that share a scale
LARGEST, LARGEST_SCALE = 6.0, 448.0  # of E2M1 and of E4M3
OPSET = 23  # the first with FLOAT4E2M1
DOMAIN = "arfm_ros"
_E4M3 = TensorProto.FLOAT8E4M3FN
# ties go to the even one: steps are 0.5 below 2, 1 below 4, 2 above
_ROUNDED = """
<domain: "arfm_ros", opset_import: ["" : %d]>
Nvfp4 (x, tensor_scale) => (y) {
    block = Constant <value_ints: ints = [-1, 16]> ()
    last = Constant <value_ints: ints = [-1]> ()
    blocks = Reshape (x, block)
    size = Abs (blocks)
    largest = ReduceMax <keepdims: int = 1> (size, last)
    six = Constant <value_float: float = 6.0> ()
    sixfold = Mul (six, tensor_scale)
    wanted = Div (largest, sixfold)
    stored = Cast <to: int = %d> (wanted)
    share = Cast <to: int = 1> (stored)
    scale = Mul (share, tensor_scale)
    least = Constant <value_float: float = 1e-30> ()
    divisor = Max (scale, least)
    scaled = Div (blocks, divisor)
    minus = Neg (six)
    value = Clip (scaled, minus, six)
    height = Abs (value)
    two = Constant <value_float: float = 2.0> ()
    four = Constant <value_float: float = 4.0> ()
    one = Constant <value_float: float = 1.0> ()
    half = Constant <value_float: float = 0.5> ()
    low = Less (height, two)
    middle = Less (height, four)
    upper = Where (middle, one, two)
    step = Where (low, half, upper)
    steps = Div (value, step)
    whole = Round (steps)
    number = Mul (whole, step)
    found = Mul (number, scale)
    shape = Shape (x)
    y = Reshape (found, shape)
}
"""


class FourBits:
    """Operands and weights in nvfp4, by TensorRT's operator (`native`) or computed in float32."""

    def __init__(self, native: bool) -> None:
        self.native = native

    def operand(self, name: str, result: str, largest: float) -> Made:
        """Make `result` of the value `name` [..., K], K a multiple of 16."""
        scale = f"{name}_scale"
        stored = [numpy_helper.from_array(_tensor_scale(largest), scale)]
        if not self.native:
            return [make("Nvfp4", [name, scale], result, domain=DOMAIN)], stored
        four, shares, scales = f"{name}_four", f"{name}_shares", f"{name}_scales"
        options = {"axis": -1, "block_size": BLOCK, "scale_type": _E4M3}
        kind, made = "TRT_FP4DynamicQuantize", [four, shares]
        return [
            helper.make_node(kind, [name, scale], made, f"make_{four}", domain="trt", **options),
            make("DequantizeLinear", [shares, scale], scales),
            make("DequantizeLinear", [four, scales], result, axis=-1, block_size=BLOCK),
        ], stored

    def weight(self, name: str, result: str, value: NDArray[np.float32], axis: int) -> Made:
        """Make `result` of a stored weight [K, outputs]; `axis` is that of its outputs, 1."""
        numbers, shares, scale = split(value)
        if not self.native:
            wide = np.repeat(shares.astype(np.float32) * scale, BLOCK, axis=0)
            return [], [numpy_helper.from_array(numbers.astype(np.float32) * wide, result)]
        four, eight, whole, scales = (f"{name}_{n}" for n in ("four", "shares", "scale", "scales"))
        stored = [
            _stored(numbers, four, TensorProto.FLOAT4E2M1),
            _stored(shares, eight, _E4M3),
            numpy_helper.from_array(scale, whole),
        ]
        return [
            make("DequantizeLinear", [eight, whole], scales),
            make("DequantizeLinear", [four, scales], result, axis=1 - axis, block_size=BLOCK),
        ], stored

    def close(self, model: ModelProto) -> None:
        """Give the graph what its new nodes need."""
        if self.native:
            opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("trt", 1)]
            model.ir_version = 11
        else:
            opset = next(one.version for one in model.opset_import if not one.domain)
            opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
            model.functions.append(rounded(opset))
        del model.opset_import[:]
        model.opset_import.extend(opsets)


def rounded(opset: int) -> FunctionProto:
    """Write the function that gives x [..., 16 n] as nvfp4 holds it, in float32."""
    return onnx.parser.parse_function(_ROUNDED % (opset, _E4M3))


def split(value: NDArray[np.float32]) -> tuple[NDArray[np.generic], NDArray[np.generic], NDArray]:
    """Give a weight [K, outputs] as E2M1 [K, outputs], E4M3 [K / 16, outputs] and float32 []."""
    blocks = value.reshape(-1, BLOCK, value.shape[1])
    scale = _tensor_scale(float(np.abs(value).max()))
    shares = (np.abs(blocks).max(axis=1) / LARGEST / scale).astype(ml_dtypes.float8_e4m3fn)
    wide = np.maximum(shares.astype(np.float32) * scale, 1e-30)[:, None]
    numbers = np.clip(blocks / wide, -LARGEST, LARGEST).astype(ml_dtypes.float4_e2m1fn)
    return numbers.reshape(value.shape), shares, scale


def _tensor_scale(largest: float) -> NDArray[np.float32]:
    return np.array(max(largest, LEAST) / LARGEST / LARGEST_SCALE, np.float32)


def _stored(value: NDArray[np.generic], name: str, kind: int) -> TensorProto:
    raw = value.view(np.uint8).ravel()
    if kind == TensorProto.FLOAT4E2M1:
        raw = raw[0::2] | (raw[1::2] << 4)  # two a byte, the first in its low half
    return helper.make_tensor(name, kind, list(value.shape), raw.tobytes(), raw=True)
