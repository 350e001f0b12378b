"""OpenVINO computes what onnxruntime does, is proved like any engine, and says what it lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from policy_rig import write_bundle

from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.engines import EnginePolicy, load_policy
from arfm_ros.engines.gate.proof import command
from arfm_ros.engines.runtimes import openvino_engine


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("ov") / "bundle", guided=True)


def opened(bundle: Path, engine: str) -> EnginePolicy:
    policy = load_policy(bundle, engine=engine, threads=1)
    assert isinstance(policy, EnginePolicy)
    return policy


def test_its_chunks_are_those_of_onnxruntime_also_when_contexts_alternate(bundle: Path) -> None:
    pytest.importorskip("openvino")
    both = [opened(bundle, engine) for engine in ("onnx", "openvino")]
    spec, rng = both[0].spec, np.random.default_rng(0)
    noise = rng.standard_normal(spec.flow_shape).astype(np.float32)
    seen = [spec.example(k) for k in range(3)]
    contexts = [[policy.encode(one) for one in seen] for policy in both]
    for k in (0, 2, 1, 0):
        one, other = (p.sample(c[k], noise).actions for p, c in zip(both, contexts))
        np.testing.assert_allclose(one, other, atol=2e-5)
    runtime = both[1].runtime
    assert (runtime.engine, runtime.device, runtime.precision) == ("openvino", "cpu", "fp32")
    assert command(bundle, runtime) == f"arfm check {bundle} --engine openvino"


def test_without_it_the_extra_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(EngineError, match=r"arfm_ros\[openvino\]"):
        load_policy(bundle, engine="openvino")


def test_a_device_that_is_not_there_is_passed_over_by_name(bundle: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(BundleError, match="no provider 'npu'; known: cpu, gpu"):
        load_policy(bundle, engine="openvino", providers=("npu",))
    if "GPU" in openvino_engine.openvino_module().Core().available_devices:
        pytest.skip("this machine has a GPU for OpenVINO")
    with pytest.raises(BundleError, match="openvino finds no gpu here: name another"):
        load_policy(bundle, engine="openvino", providers=("gpu",))
    runtime = load_policy(bundle, engine="openvino", providers=("gpu", "cpu")).runtime
    assert runtime.device == "cpu" and "finds no gpu" in runtime.describe()
