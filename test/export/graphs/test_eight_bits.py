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


def test_weights_in_four_bits_are_nearer_than_between_least_and_largest(tmp_path: Path) -> None:
    """A product and a sum; what is stored is read by the operator's definition."""
    rng = np.random.default_rng(0)
    weight = rng.standard_t(3, (64, 48)).astype(np.float32)  # most are small, a few are not
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
    stored = onnx.load(tmp_path / "b.onnx").graph
    held = {one.name: numpy_helper.to_array(one) for one in stored.initializer}
    (product,) = (node for node in stored.node if node.op_type == "MatMulNBits")
    packed, scale, zero = (held[name] for name in product.input[1:4])
    levels = np.stack([packed & 15, packed >> 4], axis=-1).reshape(48, 2, 32).astype(np.float32)
    near = (levels - zero.reshape(48, 2, 1)) * scale.reshape(48, 2, 1)
    near = near.reshape(48, 64).T
    blocks = weight.reshape(2, 32, 48)
    low, high = np.minimum(blocks.min(1), 0), np.maximum(blocks.max(1), 0)
    step = np.repeat((high - low) / 15, 32, axis=0)
    plain = np.rint((weight - np.repeat(low, 32, axis=0)) / step) * step
    plain += np.repeat(low, 32, axis=0)
    apart = [(np.abs(w - weight) ** 0.7).mean() for w in (near, plain)]  # HQQ's measure
    assert 0.01 < apart[0] < apart[1]
    session = onnxruntime.InferenceSession(tmp_path / "b.onnx")
    (found,) = session.run(None, {"x": x})
    rounded, whole = (np.abs(found - x @ w - addend) for w in (near, weight))
    assert rounded.mean() < 0.3 * whole.mean()  # x is rounded to int8


def test_int4_is_for_a_processor(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="int4 is for --engine onnx on a CPU; tensorrt_rtx has"):
        build_engine(bundle, "tensorrt_rtx", "int4")
