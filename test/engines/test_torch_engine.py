"""The engine torch: the network that was exported, on a GPU or where the CPU was asked for."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_rig import SMALL, exported
from policy_rig import write_bundle

from arfm_ros.cli.__main__ import main
from arfm_ros.core.chunks.rtc import Guidance, soft_mask
from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.core.values.spec import Rtc
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.gate.proof import require_pass
from arfm_ros.export.torch_engine import modules
from arfm_ros.learn.model.network import FlowPolicy

SHIPPED = Path(__file__).parents[2] / "models" / "fr3_tabletop"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[1]


@pytest.fixture
def no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU with CUDA")


def on_the_cpu(folder: Path) -> EnginePolicy:
    policy = load_policy(folder, engine="torch", providers=("cpu",), threads=1)
    assert isinstance(policy, EnginePolicy)
    return policy


def test_its_guided_step_is_that_of_the_graph(bundle: Path) -> None:
    policies = [on_the_cpu(bundle), load_policy(bundle, threads=1)]
    spec, rng = policies[0].spec, np.random.default_rng(0)
    assert spec.rtc.mode == "guided"
    x, previous = rng.standard_normal((2, *spec.flow_shape)).astype(np.float32)
    given = Guidance(previous, soft_mask(spec.horizon, 3, 12))
    one, other = (
        p.guided_velocity(p.encode(spec.example(0)), given)(x, 0.3)  # type: ignore
        for p in policies
    )
    np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.usefixtures("no_gpu")
def test_the_shipped_policy_passes_its_check_and_the_pass_is_this_engine_s(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "shipped"))
    opened, runtime = load_bundle(folder), on_the_cpu(folder).runtime
    assert (runtime.engine, runtime.device) == ("torch", "cpu")
    with pytest.raises(BundleError, match="run `arfm check .* --engine torch --providers cpu`"):
        require_pass(opened, runtime)
    before = (folder / "parity.json").read_bytes()
    words = ["--engine", "torch", "--providers", "cpu", "--threads", "1"]
    assert main(["check", str(folder), *words]) == 0
    require_pass(opened, runtime)
    assert (folder / "parity.json").read_bytes() == before


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_runs_only_where_the_cpu_was_asked_for(bundle: Path) -> None:
    for providers in (("default",), ("cuda",)):
        with pytest.raises(EngineError, match="finds no GPU with CUDA: use the engine onnx"):
            load_policy(bundle, engine="torch", providers=providers)
    runtime = load_policy(bundle, engine="torch", providers=("cuda", "cpu"), threads=1).runtime
    assert "finds no GPU with CUDA" in runtime.describe() and runtime.device == "cpu"


def test_what_it_cannot_do_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no provider 'tensorrt'; known: cuda, cpu"):
        load_policy(bundle, engine="torch", providers=("tensorrt", "cpu"))
    with pytest.raises(BundleError, match="computes in fp32, not in fp16"):
        load_policy(bundle, engine="torch", precision="fp16", providers=("cpu",))
    graphs_only = write_bundle(tmp_path / "graphs_only")
    with pytest.raises(EngineError, match="has no weights.safetensors.*use the engine onnx"):
        on_the_cpu(graphs_only)


def test_without_torch_the_extra_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "arfm_ros.export.torch_engine")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineError, match="needs the package 'torch': install the extra"):
        load_policy(bundle, engine="torch", providers=("cpu",))


@pytest.mark.parametrize("mode", ["guided", "prefix"])
def test_nothing_in_the_network_stays_behind_on_the_cpu(bundle: Path, mode: str) -> None:
    """A tensor made on the CPU would break the capture; torch's meta device refuses such a mix."""
    spec = replace(load_bundle(bundle).spec, rtc=Rtc(mode, 0, 6))  # type: ignore[arg-type]
    made = modules(FlowPolicy(SMALL).to("meta"), spec, torch.device("meta"))
    assert list(made) == ["prefix", "step", "step_rtc"]
    for module, example, names in made.values():
        result = module(*example.values())
        outputs = result if isinstance(result, tuple) else (result,)
        assert len(outputs) == len(names) and all(one.is_meta for one in outputs)
