"""nvfp4: its numbers are those of the standard's own table, in graphs as in stored weights."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from policy_rig import PICTURE, STATE, write_bundle

from arfm_ros.core.values.data import Observation
from arfm_ros.export import build as builder
from arfm_ros.export.build import build_engine
from arfm_ros.export.graphs.nvfp4 import DOMAIN, OPSET, FourBits, _stored, rounded, split

SEEN = Observation(PICTURE, STATE, "lift the cube", stamp_ns=0)
E2M1 = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], np.float32)  # OCP MX 1.0, table 5


def graph(opset: int = 20) -> onnx.ModelProto:
    """Make a graph of the function alone: y = Nvfp4(x, scale)."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["n", 32]), ("scale", []), ("y", ["n", 32]))
    ]
    node = helper.make_node("Nvfp4", ["x", "scale"], ["y"], domain=DOMAIN)
    made = helper.make_graph([node], "one", ends[:2], ends[2:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    functions = [rounded(opset)]
    return helper.make_model(made, opset_imports=opsets, functions=functions, ir_version=10)


def by_hand(x: NDArray[np.float32], tensor_scale: float) -> NDArray[np.float32]:
    """Round each block by trying every number that E2M1 has: the nearest, of two the even one."""
    found = np.empty_like(x)
    for row, block in product(range(len(x)), range(x.shape[1] // 16)):
        part = x[row, 16 * block : 16 * block + 16]
        share = np.float32(np.abs(part).max()) / np.float32(np.float32(6.0) * tensor_scale)
        scale = float(ml_dtypes.float8_e4m3fn(share)) * tensor_scale
        for i, value in enumerate(part):
            apart = np.abs(E2M1 - min(abs(value) / scale if scale else 0.0, 6.0))
            nearest = np.flatnonzero(apart == apart.min())
            even = nearest[nearest % 2 == 0] if len(nearest) > 1 else nearest
            found[row, 16 * block + i] = np.sign(value) * E2M1[even[0]] * scale
    return found


def test_the_graph_rounds_as_the_table_says() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((64, 32)) * np.exp(rng.uniform(-4, 2, (64, 1)))).astype(np.float32)
    x[0], x[1, :16] = 0.0, np.linspace(-6, 6, 16)
    scale = np.array(np.abs(x).max() / 6 / 448, np.float32)
    session = ort.InferenceSession(graph().SerializeToString())
    (found,) = session.run(None, {"x": x, "scale": scale})
    wanted = by_hand(x, float(scale))
    assert np.mean(np.abs(found - wanted) > 1e-5 * np.abs(wanted).max(axis=1, keepdims=True)) == 0
    assert 0.05 < np.linalg.norm(found - x) / np.linalg.norm(x) < 0.15


def test_ties_go_to_the_even_number() -> None:
    halves = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0]
    x = np.zeros((1, 32), np.float32)
    x[0, :8] = [6.0, *halves]
    x[0, 16:24] = [-6.0, *(-h for h in halves)]
    session = ort.InferenceSession(graph().SerializeToString())
    (found,) = session.run(None, {"x": x, "scale": np.array(1.0, np.float32)})
    wanted = [6.0, 0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0]
    assert found[0, :8].tolist() == wanted
    assert found[0, 16:24].tolist() == [-value for value in wanted]


def test_a_stored_weight_is_what_the_reference_reader_of_onnx_reads() -> None:
    weight = np.random.default_rng(1).standard_normal((64, 5)).astype(np.float32)
    numbers, shares, scale = split(weight)
    read = numpy_helper.to_array(_stored(numbers, "w", TensorProto.FLOAT4E2M1))
    assert np.array_equal(read.astype(np.float32), numbers.astype(np.float32))
    whole = read.astype(np.float32) * np.repeat(shares.astype(np.float32), 16, axis=0) * scale
    (_, (made,)) = FourBits(native=False).weight("w", "low", weight, 1)
    assert np.allclose(numpy_helper.to_array(made), whole, rtol=1e-6, atol=0)
    across = by_hand(np.ascontiguousarray(weight.T), float(scale)).T
    assert np.allclose(whole, across, atol=1e-6)


def test_onnx_s_own_evaluator_reads_from_an_engine_s_weight_what_is_computed_here() -> None:
    weight = np.random.default_rng(1).standard_normal((64, 5)).astype(np.float32)
    nodes, stored = FourBits(native=True).weight("w", "low", weight, 1)
    end = helper.make_tensor_value_info("low", TensorProto.FLOAT, [64, 5])
    opsets = [helper.make_opsetid("", OPSET)]
    made = helper.make_graph(nodes, "weight", [], [end], stored)
    model = helper.make_model(made, opset_imports=opsets, ir_version=11)
    onnx.checker.check_model(model, full_check=True)
    (read,) = ReferenceEvaluator(model).run(None, {})
    (_, (here,)) = FourBits(native=False).weight("w", "low", weight, 1)
    assert np.array_equal(read, numpy_helper.to_array(here))


@pytest.mark.parametrize("opset", [20, 23])
def test_the_function_is_valid_onnx(opset: int) -> None:
    onnx.checker.check_model(graph(opset), full_check=True)


def test_products_whose_sums_do_not_split_into_sixteens_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "observations", lambda bundle, episodes: iter([SEEN]))
    bundle = write_bundle(tmp_path / "bundle")
    folder = build_engine(bundle, "onnx", "nvfp4", say=lambda text: None, episodes=[])
    made = onnx.load(folder / "step.onnx")
    low = {n.output[0] for n in made.graph.node if n.domain == DOMAIN}
    assert low
    stored = {t.name: t.dims for t in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type in {"MatMul", "Gemm"} and node.input[1] in stored:
            depth = stored[node.input[1]][0]
            assert (node.input[0] in low) == (depth % 16 == 0), node.name
