"""Few bits scaled by what the graphs saw: near to float32 here, built for GPUs without one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from policy_rig import PICTURE, STATE, write_bundle

from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, ConfigError, EngineError, EpisodeError
from arfm_ros.core.values.data import Observation
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.runtimes.tensorrt_engine import tensorrt_module
from arfm_ros.engines.store import MANIFEST
from arfm_ros.export import build as builder
from arfm_ros.export.build import build_engine
from arfm_ros.export.calibrate import Listening, _spread, observations
from arfm_ros.export.graphs.calibrated import weighed_products
from arfm_ros.export.graphs.precision import convert
from arfm_ros.export.tensorrt import audit, parse

SEEN = Observation(PICTURE, STATE, "lift the cube", stamp_ns=0)
EIGHT = ("int8", "fp8")


def silent(text: str) -> None:
    """Say nothing."""


def noted(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / MANIFEST).read_text()))


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a bundle whose calibration looks at three observations; it has no reference."""
    noisy = [replace(SEEN, state=STATE + np.float32(0.1 * k)) for k in range(3)]
    monkeypatch.setattr(builder, "observations", lambda bundle, episodes: iter(noisy))
    return write_bundle(tmp_path / "bundle", guided=True)


@pytest.mark.parametrize("precision", EIGHT)
def test_the_chunk_is_nearly_the_same_and_every_weighed_product_is_marked(
    bundle: Path, tmp_path: Path, precision: str
) -> None:
    folder = build_engine(bundle, "onnx", precision, say=silent, episodes=[])
    assert noted(folder)["calibration"]["observations"] == 3
    assert not list(folder.glob("*.float.*"))
    for name in ("prefix", "step", "step_rtc"):
        convert(bundle / f"{name}.onnx", tmp_path / "float.onnx", "fp32")
        before = weighed_products(tmp_path / "float.onnx", precision)
        graph = onnx.load(folder / f"{name}.onnx", load_external_data=False).graph
        products = {n.output[0]: n for n in graph.node if n.op_type in {"MatMul", "Gemm", "Conv"}}
        made = {n.output[0]: n.op_type for n in graph.node}
        assert before, name
        for product in before:
            kinds = {made[end] for end in products[product].input[:2]}
            assert kinds == {"DequantizeLinear"}
    whole, low = load_policy(bundle), load_policy(bundle, precision=precision)
    noise = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    wanted = whole.sample(whole.encode(SEEN), noise).actions
    found = low.sample(low.encode(SEEN), noise).actions
    apart = np.abs(found - wanted).max()
    assert 0 < apart < 0.15 * np.abs(wanted).max()


@pytest.mark.parametrize("precision,sm", [("int8", 89), ("fp8", 89), ("nvfp4", 120)])
def test_a_gpu_s_engine_is_built_without_one_and_its_products_are_counted(
    bundle: Path, precision: str, sm: int
) -> None:
    try:
        tensorrt_module("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(str(error))
    folder = build_engine(bundle, "tensorrt_rtx", precision, (sm,), silent, [])
    manifest = noted(folder)
    assert all(
        one.get(f"{precision} products", 0) == manifest["products"][name]
        for name, one in manifest["layers"].items()
    )
    assert {file.suffix for file in folder.iterdir()} == {".engine", ".json"}


@pytest.mark.parametrize("precision,sm,least", [("fp8", 86, 89), ("nvfp4", 89, 100)])
def test_a_gpu_that_lacks_the_precision_is_refused_before_anything_is_built(
    bundle: Path, precision: str, sm: int, least: int
) -> None:
    try:
        tensorrt_module("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(str(error))
    with pytest.raises(ConfigError, match=f"{precision} on a GPU of .* {sm}, needs {least} or"):
        build_engine(bundle, "tensorrt_rtx", precision, (120, sm), silent, [])
    assert not list(bundle.glob("engines/*"))


def test_a_graph_without_eight_bits_does_not_pass_for_one(bundle: Path) -> None:
    try:
        library = tensorrt_module("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(str(error))
    maker = library.Builder(library.Logger(library.Logger.ERROR))
    network = parse(library, maker, bundle / "step.onnx")
    with pytest.raises(EngineError, match="are not int8, 0 of 3 are:"):
        audit(library, network, "int8", 3)


def test_a_value_that_was_not_finite_once_stays_so(tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["log"]), helper.make_node("Abs", ["log"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "log", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "log.onnx")
    listening = Listening(tmp_path / "log.onnx", ["x", "log"])
    run = listening.bind({})
    for values in ([0.5, -1.0], [2.0, 4.0]):
        found = run({"x": np.array(values, np.float32)})
    assert found.keys() == {"y"}
    assert listening.largest["x"] == 4.0 and np.isnan(listening.largest["log"])


def test_no_more_are_taken_than_are_wanted_and_evenly() -> None:
    assert _spread(3, 64) == [0, 1, 2] and _spread(0, 8) == []
    assert _spread(101, 5) == [0, 25, 50, 75, 100]
    assert len(_spread(1000, 64)) == 64


def test_nothing_to_calibrate_with_is_said(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "bundle"))
    with pytest.raises(BundleError, match=r"no reference.npz: give episodes \(--calibrate\)"):
        list(observations(bundle, ()))
    with pytest.raises(EpisodeError, match="it is no episode"):
        list(observations(bundle, [tmp_path]))


def test_calibration_is_of_few_bits(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["export", str(bundle), "--precision", "fp16", "--calibrate", "x"]
    assert main(asked) == 1
    assert "--calibrate is of int8, fp8, nvfp4, not of fp16" in capsys.readouterr().err
    assert json.loads((bundle / "policy.json").read_text())
