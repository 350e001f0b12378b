"""TensorRT for RTX builds every graph without a GPU; what is built knows where it belongs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from learn_rig import exported
from onnx import TensorProto, helper
from policy_rig import write_bundle

from arfm_ros.bringup import shipped_bundles
from arfm_ros.cli.__main__ import main
from arfm_ros.core.errors import BundleError, ConfigError, EngineError
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.engines.gate.proof import prove, require_pass
from arfm_ros.engines.runtimes.cuda import Gpu, find_gpu
from arfm_ros.engines.runtimes.tensorrt_engine import load_engine, tensorrt_module
from arfm_ros.engines.store import Build, find_build, read_manifest
from arfm_ros.export.build import build_engine
from arfm_ros.export.graphs.precision import convert
from arfm_ros.export.tensorrt import audit, parse

RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", 89, "13.0")
RTX_2080 = Gpu("NVIDIA GeForce RTX 2080", 75, "13.0")


def library() -> object:
    try:
        return tensorrt_module("tensorrt_rtx")
    except EngineError as error:
        pytest.skip(str(error))


def silent(text: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("rtx") / "bundle", guided=True)


@pytest.fixture(scope="module")
def built(bundle: Path) -> Path:
    library()
    return build_engine(bundle, "tensorrt_rtx", "fp16", say=silent)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return Path(shutil.copytree(next(iter(shipped_bundles().values())), tmp_path / "shipped"))


def fitting(bundle: Path, gpu: Gpu | None, precision: str = "", version: str = "") -> Build:
    here = version or library().__version__  # type: ignore
    return find_build(load_bundle(bundle), "tensorrt_rtx", here, precision, gpu)


@pytest.mark.parametrize("precision,kind", [("fp32", "float"), ("fp16", "half"), ("bf16", "bf16")])
def test_every_graph_builds_for_three_generations_of_gpus_without_one(
    bundle: Path, precision: str, kind: str
) -> None:
    library()
    folder = build_engine(bundle, "tensorrt_rtx", precision, (86, 89, 120), say=silent)
    names = {"prefix.engine", "step.engine", "step_rtc.engine", "engine.json"}
    assert {file.name for file in folder.iterdir()} == names
    layers = json.loads((folder / "engine.json").read_text())["layers"]
    assert all(layers[name][kind] > 0 for name in ("prefix", "step", "step_rtc"))


@pytest.mark.parametrize(
    "name,precision,kind",
    [
        ("fr3_tabletop", "fp32", "float"),
        ("fr3_tabletop", "fp16", "half"),
        ("fr3_tabletop", "bf16", "bf16"),
    ],
)
def test_the_shipped_policies_build_with_their_products_in_the_wanted_type(
    name: str, precision: str, kind: str, tmp_path: Path
) -> None:
    library()
    copy = Path(shutil.copytree(shipped_bundles()[name], tmp_path / name))
    folder = build_engine(copy, "tensorrt_rtx", precision, (86, 89, 120), say=silent)
    layers = json.loads((folder / "engine.json").read_text())["layers"]
    prefix_mode = name == "fr3_tabletop"
    assert set(layers) == {"prefix", "step"} | ({"step_rtc"} if prefix_mode else set())
    assert layers["prefix"][kind] > 60
    assert all(layers[graph][kind] > 100 for graph in layers if graph != "prefix")


def test_the_guided_step_of_an_exported_network_builds(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Its exact derivative: more products than the plain step has."""
    library()
    copy = Path(shutil.copytree(exported(tmp_path_factory)[1], tmp_path / "guided"))
    assert load_bundle(copy).spec.rtc.mode == "guided"
    folder = build_engine(copy, "tensorrt_rtx", "fp16", (86, 89, 120), say=silent)
    layers = json.loads((folder / "engine.json").read_text())["layers"]
    assert layers["step_rtc"]["half"] > 2 * layers["step"]["half"] > 0


def test_what_is_written_out_for_tensorrt_computes_the_same(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    source, target = exported(tmp_path_factory)[1] / "step_rtc.onnx", tmp_path / "step_rtc.onnx"
    assert convert(source, target, "fp32") == 0
    norms = [n for n in onnx.load(target).graph.node if n.op_type == "LayerNormalization"]
    assert all(len(node.output) == 1 for node in norms)
    sessions = [onnxruntime.InferenceSession(str(path)) for path in (source, target)]
    rng = np.random.default_rng(0)
    feed = {
        i.name: rng.uniform(0.1, 0.9, i.shape).astype(np.float32) for i in sessions[0].get_inputs()
    }
    ours, written_out = (session.run(None, feed)[0] for session in sessions)
    np.testing.assert_allclose(ours, written_out, atol=1e-5 * np.abs(ours).max())


def test_a_product_that_stayed_in_float32_is_an_error(bundle: Path, tmp_path: Path) -> None:
    trt = library()
    convert(bundle / "step.onnx", tmp_path / "step.onnx", "fp32")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))  # type: ignore
    network = parse(trt, builder, tmp_path / "step.onnx")
    assert audit(trt, network, "fp32")["float"] > 0
    nodes = onnx.load(tmp_path / "step.onnx").graph.node
    name = next(node.name or node.output[0] for node in nodes if node.op_type == "MatMul")
    with pytest.raises(EngineError, match=rf"matrices are not fp16: \S*{name}\S* \(float, float"):
        audit(trt, network, "fp16")


def test_a_graph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    trt = library()
    (tmp_path / "step.onnx").write_bytes(b"no graph")
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))  # type: ignore
    with pytest.raises(BundleError, match="cannot read step.onnx"):
        parse(trt, builder, tmp_path / "step.onnx")


def test_an_operator_that_is_not_there_is_named_with_its_node(tmp_path: Path) -> None:
    trt = library()
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    node = helper.make_node("Det", ["x"], ["y"], name="volume")
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(helper.make_graph([node], "odd", [x], [y]), opset_imports=[opset])
    onnx.save(model, tmp_path / "odd.onnx")
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))  # type: ignore
    with pytest.raises(BundleError, match=r"cannot read odd.onnx: node volume \(Det\)"):
        parse(trt, builder, tmp_path / "odd.onnx")


def test_an_engine_is_found_by_gpu_version_precision_and_weights(
    bundle: Path, built: Path, tmp_path: Path
) -> None:
    assert fitting(bundle, RTX_4090, "fp16").path == built
    again = "run `arfm export .* --engine tensorrt_rtx"
    for wanted, says in [
        ((RTX_2080, "fp16"), r"for SM86, SM89, SM120, here is NVIDIA .* 2080 \(SM75\).*" + again),
        ((None, "fp16"), "here is no GPU"),
        ((RTX_4090, "fp16", "0.1"), "was built by tensorrt_rtx .*, here is 0.1"),
    ]:
        with pytest.raises(BundleError, match=says):
            fitting(bundle, *wanted)
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    raw = json.loads((other / "policy.json").read_text())
    raw["spec"]["state_norm"]["offset"][0] = 0.5
    (other / "policy.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="was built from other weights"):
        fitting(other, RTX_4090, "fp16")


def test_an_engine_of_other_bytes_is_refused(bundle: Path, built: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    (other / "engines" / built.name / "step.engine").write_bytes(b"something else")
    with pytest.raises(BundleError, match="step.engine is missing or not what was built"):
        fitting(other, RTX_4090, "fp16")
    (other / "engines" / built.name / "engine.json").write_text("{}")
    with pytest.raises(BundleError, match="engine.json cannot be read"):
        read_manifest(other / "engines" / built.name, "again")


def test_an_engine_that_the_driver_does_not_take_is_named_with_its_command(built: Path) -> None:
    if find_gpu() is not None:
        pytest.skip("this machine has a GPU")
    trt = library()
    runtime = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR))  # type: ignore
    with pytest.raises(BundleError, match="step.engine does not load on this GPU .* build it so"):
        load_engine(runtime, built / "step.engine", "build it so")


def test_running_an_engine_without_a_gpu_says_so(bundle: Path, built: Path) -> None:
    if find_gpu() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineError, match="use the engine onnx"):
        load_policy(bundle, engine="tensorrt_rtx")


def test_what_cannot_be_built_is_refused_before_anything_is(bundle: Path) -> None:
    library()
    for wanted, says in [
        (("tensorrt_rtx", "fp32", (87,)), "--sm 87: TensorRT for RTX builds for .*89"),
        (("onnx", "fp16", (89,)), "--sm is for --engine tensorrt_rtx"),
        (("onnx", "fp32"), "nothing to build"),
    ]:
        with pytest.raises(ConfigError, match=says):
            build_engine(bundle, *wanted, say=silent)


def test_half_precision_passes_its_check_and_keeps_x_t_and_v_in_float32(shipped: Path) -> None:
    assert main(["export", str(shipped), "--precision", "fp16"]) == 0
    policy = load_policy(shipped, precision="fp16")
    with pytest.raises(BundleError, match="run `arfm check .* --precision fp16`"):
        require_pass(load_bundle(shipped), policy.runtime)
    record = prove(load_bundle(shipped), policy)
    assert record["passed"] and 1e-5 < record["max_step_error"] <= record["limits"]["step"]
    require_pass(load_bundle(shipped), policy.runtime)
    (folder,) = (shipped / "engines").glob("onnx-fp16-*")
    graph = onnx.load(folder / "step.onnx", load_external_data=False).graph
    ends = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    assert {ends[name] for name in ("x", "t", "v")} == {TensorProto.FLOAT}
    files = (*shipped.glob("*.onnx"), shipped / "weights.safetensors")  # a bundle has one of both
    plain = sum(file.stat().st_size for file in files if file.exists())
    # the shipped bundle keeps what two graphs share once, an engine's graphs keep their own
    assert sum(file.stat().st_size for file in folder.glob("*.onnx*")) < 0.8 * plain


def test_weights_too_large_for_fp16_are_named(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle / "step.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "target":
            values = onnx.numpy_helper.to_array(tensor) * 1e6
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, "target"))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(BundleError, match="target reaches .* too much for fp16: use bf16"):
        convert(tmp_path / "large.onnx", tmp_path / "out.onnx", "fp16")
    assert convert(tmp_path / "large.onnx", tmp_path / "out.onnx", "bf16") == 1


def test_a_pass_holds_for_the_same_weights_and_runtime_only(shipped: Path) -> None:
    assert main(["check", str(shipped)]) == 0
    bundle, runtime = load_bundle(shipped), load_policy(shipped).runtime
    require_pass(bundle, runtime)
    require_pass(bundle, replace(runtime, version="99"))  # on the CPU any onnxruntime
    with pytest.raises(BundleError, match="is of other weights"):
        require_pass(replace(bundle, sha256="0" * 64), runtime)
    for content, says in [
        ('{"passed": false}', "differs from its checkpoint"),
        ('{"passed": "yes"}', "differs from its checkpoint"),
        ('{"passed": true}', "names no weights"),
        ("[]", "cannot be read"),
        ("half a fi", "cannot be read"),
    ]:
        (shipped / "parity.json").write_text(content)
        with pytest.raises(BundleError, match=f"{says}.*run `arfm check"):
            require_pass(bundle, runtime)
    (shipped / "parity.json").unlink()
    with pytest.raises(BundleError, match="nobody checked this bundle here"):
        require_pass(bundle, runtime)


def test_a_gpu_s_pass_ends_with_its_driver(shipped: Path) -> None:
    bundle = load_bundle(shipped)
    before = replace(load_policy(shipped).runtime, device="GPU", driver="12.6")
    folder = shipped / "engines" / "onnx-fp32-GPU"
    folder.mkdir(parents=True)
    record = {"passed": True, "bundle_sha256": bundle.sha256, "runtime": before.as_dict()}
    (folder / "parity.json").write_text(json.dumps(record))
    require_pass(bundle, before)
    with pytest.raises(BundleError, match="made with driver '12.6', here is '13.0'"):
        require_pass(bundle, replace(before, driver="13.0"))
