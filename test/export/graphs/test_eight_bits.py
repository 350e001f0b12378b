"""A bundle in int8 or with weights in int4: built, checked and run as any other engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from policy_rig import PICTURE, STATE, write_bundle

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import Observation
from arfm_ros.engines import load_policy
from arfm_ros.export.build import build_engine
from arfm_ros.export.graphs.four_bits import quantise_weights


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("eight") / "bundle", guided=True)


@pytest.mark.parametrize(
    ("precision", "operator"), [("int8", "MatMulInteger"), ("int4", "MatMulNBits")]
)
def test_products_are_in_few_bits_and_the_chunk_is_nearly_the_same(
    bundle: Path, precision: str, operator: str
) -> None:
    folder = build_engine(bundle, "onnx", precision, say=lambda text: None)
    for name in ("prefix", "step"):
        graph = onnx.load(folder / f"{name}.onnx", load_external_data=False).graph
        made = [node for node in graph.node if node.op_type == operator]
        assert made and not any(node.op_type == "Gemm" for node in graph.node)
    assert not list(folder.glob("*.float.onnx*"))
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in folder.iterdir())
    whole, low = load_policy(bundle), load_policy(bundle, precision=precision)
    assert low.runtime.precision == precision
    seen = Observation(PICTURE, STATE, "lift the cube", stamp_ns=0)
    noise = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    wanted = whole.sample(whole.encode(seen), noise).actions
    found = low.sample(low.encode(seen), noise).actions
    apart = np.abs(found - wanted).max()
    assert 0 < apart < 0.1 * np.abs(wanted).max()


def test_weights_in_four_bits_are_what_blocks_of_32_make_of_them(tmp_path: Path) -> None:
    """A product, a sum and a product, from the definition: 16 levels between least and largest."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 48)).astype(np.float32)
    addend, x = (rng.standard_normal(size).astype(np.float32) for size in ((48,), (5, 64)))
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 48])],
        [numpy_helper.from_array(weight.T.copy(), "w"), numpy_helper.from_array(addend, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "a.onnx")
    assert quantise_weights(tmp_path / "a.onnx", tmp_path / "b.onnx") == 1
    session = onnxruntime.InferenceSession(tmp_path / "b.onnx")
    (found,) = session.run(None, {"x": x})
    low, high = (weight.reshape(2, 32, 48) for _ in range(2))
    low, high = np.minimum(low.min(1), 0), np.maximum(high.max(1), 0)
    step = np.repeat((high - low) / 15, 32, axis=0)
    zero = np.rint(-np.repeat(low, 32, axis=0) / step)
    near = (np.clip(np.rint(weight / step) + zero, 0, 15) - zero) * step
    assert np.abs(near - weight).max() > 0.05  # four bits are few
    rounded, whole = (np.abs(found - x @ w - addend) for w in (near, weight))
    # x is rounded to int8 in blocks: some 3/127/sqrt(12) of each of 64 products of size 1
    assert rounded.max() < 0.3 and rounded.mean() < 0.3 * whole.mean()


def test_int4_is_for_a_processor(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="int4 is for --engine onnx on a CPU; tensorrt_rtx has"):
        build_engine(bundle, "tensorrt_rtx", "int4")
