"""Graphs whose weights are stored in int4: an eighth of the bytes, for large networks on a CPU.

Weights alone: each 32 numbers that one sum runs over share a scale and a zero, chosen by HQQ
(Badri and Shaji 2023), which lets a few be far off so that most are near. onnxruntime's
`MatMulNBits` multiplies them with what it rounds to int8 at each run, block by block, and sums in
float32. No data is needed, and everything else stays in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from arfm_ros.core.errors import EngineError
from arfm_ros.export.graphs.eight_bits import without_advice
from arfm_ros.export.graphs.precision import convert

BLOCK = 32
BY_INT8 = 4  # onnxruntime's level of accuracy whose products are of int8
OPERATOR = "MatMulNBits"


def quantise_weights(source: Path, target: Path) -> int:
    """Write the graph `source` with weights in int4 to `target`, them to a file beside it.

    Returns how many products of matrices were quantised. Raises `EngineError` where the packages
    for it are missing.
    """
    try:
        import torch  # noqa: F401  which the quantiser computes with
        from onnxruntime.quantization import matmul_nbits_quantizer as tool
    except ImportError as error:
        raise EngineError(
            f"--precision int4 needs onnx, onnxruntime 1.22 and torch (the extra 'train'): {error}"
        ) from error
    draft = target.with_name(f"{target.stem}.float.onnx")
    convert(source, draft, "fp32")  # weights as the products take them
    model = onnx.load(draft)
    split_gemms(model)
    with without_advice():
        way = tool.HQQWeightOnlyQuantConfig(block_size=BLOCK, bits=4)
        quantiser = tool.MatMulNBitsQuantizer(model, accuracy_level=BY_INT8, algo_config=way)
        quantiser.process()
    made = quantiser.model.model
    onnx.save_model(made, target, save_as_external_data=True, location=f"{target.name}.data")
    for file in target.parent.glob(f"{draft.name}*"):
        file.unlink()
    return sum(node.op_type == OPERATOR for node in made.graph.node)


def split_gemms(model: ModelProto) -> None:
    """Write each product with a stored weight and an addend as a product and a sum."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        plain = {told.get(name, 1) for name in ("alpha", "beta")} == {1} and not told.get("transA")
        if node.op_type != "Gemm" or node.input[1] not in weights or not plain:
            nodes.append(node)
            continue
        weight = node.input[1]
        if told.get("transB"):
            value = np.ascontiguousarray(numpy_helper.to_array(weights[weight]).T)
            weight = f"{node.output[0]}_weight"
            model.graph.initializer.append(numpy_helper.from_array(value, weight))
        added = len(node.input) > 2
        product = f"{node.output[0]}_product" if added else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product]))
        if added:
            nodes.append(helper.make_node("Add", [product, node.input[2]], node.output))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
