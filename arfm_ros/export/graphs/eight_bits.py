"""Graphs whose products of matrices are in int8, for processors with such instructions.

onnxruntime's dynamic quantisation: a weight has a scale for each output, what it meets is scaled
by its own largest value at each run, sums are int32. No data is needed, and everything else stays
in float32.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import onnx

from arfm_ros.core.errors import EngineError
from arfm_ros.export.graphs.precision import convert

PRODUCTS = ("MatMul", "Gemm")


def quantise(source: Path, target: Path) -> int:
    """Write the graph `source` in int8 to `target`, its weights to a file beside it.

    Returns how many products of matrices were quantised. Raises `EngineError` where the packages
    for it are missing.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise EngineError(f"--precision int8 needs onnx beside onnxruntime: {error}") from error
    draft = target.with_name(f"{target.stem}.float.onnx")
    convert(source, draft, "fp32")  # weights as the products take them
    with without_advice():
        quantize_dynamic(
            draft,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(PRODUCTS),
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True},
        )
    for file in target.parent.glob(f"{draft.name}*"):
        file.unlink()
    nodes = onnx.load(target, load_external_data=False).graph.node
    return sum(node.op_type == "MatMulInteger" for node in nodes)


@contextmanager
def without_advice() -> Generator[None, None, None]:
    """Keep onnxruntime's tools quiet: they recommend steps that were taken."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.root.setLevel(before)
