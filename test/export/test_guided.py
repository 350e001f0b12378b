"""The guided step of an exported bundle: equal to autograd, effective, optional, cheap to ship."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from learn_rig import DT_NS, exported

from arfm_ros.core.chunks.rtc import Guidance, left_over, soft_mask
from arfm_ros.core.errors import BundleError, ConfigError, EngineError
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.gate.freeze import freeze_errors
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay
from arfm_ros.export.bundle import export_bundle
from arfm_ros.export.graphs.weights import share_weights
from arfm_ros.export.reference import guided_velocity
from arfm_ros.export.running import Running
from arfm_ros.learn.loop.checkpoint import build_policy, load_checkpoint
from arfm_ros.learn.model.network import EncodedContext


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[1]


@pytest.fixture(scope="module")
def policy(bundle: Path) -> EnginePolicy:
    return load_policy(bundle, threads=1)


def noise(policy: EnginePolicy, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(policy.spec.action_shape).astype(np.float32)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9])
def test_the_guided_step_equals_torch_autograd(run: Path, policy: EnginePolicy, t: float) -> None:
    context = policy.encode(policy.spec.example(1))
    tensors = EncodedContext(**{n: torch.from_numpy(v) for n, v in context.tensors.items()})
    given = Guidance(noise(policy, 1), soft_mask(16, 4, 12), clip=5.0)
    x, model = noise(policy, 2), build_policy(load_checkpoint(run))
    got, wanted = (
        policy.guided_velocity(context, given)(x, t),
        guided_velocity(model, tensors, given, x, t),
    )
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert np.abs(got - policy.velocity(context)(x, t)).max() > 1e-2


def test_the_reference_holds_the_guided_step_and_a_replay_checks_it(
    policy: EnginePolicy, bundle: Path
) -> None:
    reference = load_reference(bundle)
    parity = replay(policy, reference)
    assert parity.passed and 0 < parity.max_guided_error <= LIMITS["fp32"].step
    assert reference.guided is not None
    wrong = replace(reference.guided, clip=4.0)
    failed = replay(policy, replace(reference, guided=wrong))
    assert not failed.passed and failed.max_step_error <= LIMITS["fp32"].step


def test_another_previous_chunk_makes_another_chunk_that_begins_like_it(
    policy: EnginePolicy,
) -> None:
    spec = policy.spec
    context = policy.encode(replace(spec.example(0), stamp_ns=3 * DT_NS))
    free = policy.sample(context, noise(policy, 0))
    made = []
    for seed in (1, 2):
        actions = spec.unnormalise_actions(noise(policy, seed), context.state)
        previous = ActionChunk(actions, 0, DT_NS, spec.action_names)
        prefix = left_over(previous, context.stamp_ns, delay=4)
        guided = policy.sample(context, noise(policy, 0), prefix)
        assert guided.info.guided and guided.info.prefix_length == 4
        assert guided.stamp_ns == context.stamp_ns
        gaps = [np.abs(c.actions[:4] - actions[3:7]).max() for c in (guided, free)]
        assert gaps[0] < 0.3 * gaps[1]
        made.append(guided.actions)
    assert np.abs(made[0] - made[1])[:4].max() > 1e-2
    assert not free.info.guided and free.info.prefix_length == 0


def test_every_way_to_guide_freezes_better_than_none(policy: EnginePolicy, bundle: Path) -> None:
    errors = freeze_errors(policy, load_reference(bundle))
    assert errors.keys() == {"none", "exact", "identity", "mixed"}
    assert max(errors["exact"], errors["identity"], errors["mixed"]) < 0.5 * errors["none"]


def test_the_export_keeps_what_guidance_achieves_and_costs(bundle: Path) -> None:
    kept = json.loads((bundle / "parity.json").read_text())
    assert kept["freeze_error"].keys() == {"none", "exact", "identity", "mixed"}
    card = (bundle / "README.md").read_text()
    assert f"1 in the others {kept['freeze_error']['mixed']}" in card
    assert "What runs is: guided, Jacobian taken as 1." in card
    assert kept["guidance_cost"]["step_ratio"] > 0 and kept["guidance_cost"]["chunk_ratio"] > 0


def test_a_deadline_also_cuts_a_guided_chunk(bundle: Path) -> None:
    ticks = iter(range(0, 10**9, 1_000_000))
    policy = load_policy(bundle, threads=1, clock=lambda: next(ticks))
    context = policy.encode(policy.spec.example(0))
    chunk = policy.sample(context, noise(policy, 0))
    prefix = left_over(chunk, chunk.stamp_ns, delay=4)
    deadline_ns = next(ticks) + 6_000_000
    late = policy.sample(context, noise(policy, 1), prefix, deadline_ns=deadline_ns)
    assert 1 < late.info.steps < policy.spec.steps and late.info.guided


def test_a_prefix_of_another_observation_is_refused(policy: EnginePolicy) -> None:
    context = policy.encode(replace(policy.spec.example(0), stamp_ns=DT_NS))
    chunk = policy.sample(context, noise(policy, 0))
    with pytest.raises(EngineError, match="move it there with core.rtc.left_over"):
        policy.sample(context, noise(policy, 0), replace(chunk, stamp_ns=0))


def unguided(bundle: Path, folder: Path) -> Path:
    """Copy a bundle as one that never heard of guidance."""
    copy = Path(shutil.copytree(bundle, folder))
    raw = json.loads((copy / "policy.json").read_text())
    raw["spec"]["rtc"] = {"mode": "none", "delay_min": 0, "delay_max": 0}
    del raw["sha256"]["step_rtc.onnx"]
    (copy / "step_rtc.onnx").unlink()
    (copy / "policy.json").write_text(json.dumps(raw))
    return copy


def test_a_bundle_without_guided_step_works_and_takes_no_prefix(
    bundle: Path, policy: EnginePolicy, tmp_path: Path
) -> None:
    plain = load_policy(unguided(bundle, tmp_path / "copy"), threads=1)
    context = plain.encode(plain.spec.example(0))
    chunk = plain.sample(context, noise(plain, 0))
    np.testing.assert_array_equal(chunk.actions, policy.sample(context, noise(policy, 0)).actions)
    with pytest.raises(EngineError, match="rtc mode 'none'"):
        plain.sample(context, noise(plain, 0), follows=chunk)
    assert replay(plain, load_reference(bundle)).max_guided_error == 0.0


def test_a_guided_bundle_is_checked_file_by_file(bundle: Path, tmp_path: Path) -> None:
    for name in ("step_rtc.onnx", "weights.safetensors"):
        copy = Path(shutil.copytree(bundle, tmp_path / name))
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(bytes(content))
        with pytest.raises(BundleError, match=f"{name} was changed"):
            load_bundle(copy)
        (copy / name).unlink()
        with pytest.raises(BundleError, match=f"{name} is missing"):
            load_bundle(copy)


def test_a_policy_file_names_no_file_outside_of_the_bundle(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    raw = json.loads((copy / "policy.json").read_text())
    raw["sha256"]["../secret"] = "0" * 64
    (copy / "policy.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="no file of a bundle"):
        load_bundle(copy)


def test_all_graphs_share_their_weights(bundle: Path) -> None:
    graphs = ("prefix.onnx", "step.onnx", "step_rtc.onnx")
    assert all((bundle / name).stat().st_size < 300_000 for name in graphs)


def test_sharing_stores_a_transposed_matrix_once_and_changes_no_result(tmp_path: Path) -> None:
    import onnxruntime

    matrix = np.random.default_rng(0).normal(size=(24, 16)).astype(np.float32)
    results = []
    for name, value in (("a.onnx", matrix), ("b.onnx", matrix.T.copy())):
        count = value.shape[0]
        onnx.save(_multiply(value), tmp_path / name)
        x = np.ones((1, count), np.float32)
        results.append((tmp_path / name, x, x @ value))
    graphs = [path for path, _, _ in results]
    share_weights(graphs, tmp_path / "weights", {"m": matrix}, {"made": "here"})
    assert (tmp_path / "weights").stat().st_size < matrix.nbytes + 200
    for path, x, wanted in results:
        assert path.stat().st_size < matrix.nbytes / 2
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-5)


def _multiply(value: np.ndarray) -> onnx.ModelProto:
    count, width = value.shape
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", count), ("y", width))
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "m"], ["y"])],
        "multiply",
        ends[:1],
        ends[1:],
        [onnx.numpy_helper.from_array(value, "m")],
    )
    opset = onnx.helper.make_opsetid("", 20)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)


def test_an_unknown_mode_is_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rtc mode 'prefix'"):
        export_bundle(run, tmp_path / "bundle", "x", running=Running("prefix"))
    assert not (tmp_path / "bundle").exists()


def test_guidance_at_run_time_needs_no_torch(bundle: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from arfm_ros.core.chunks.rtc import left_over\n"
        "from arfm_ros.engines import load_policy\n"
        f"policy = load_policy({str(bundle)!r}, threads=1)\n"
        "context = policy.encode(policy.spec.example(0))\n"
        "noise = np.zeros(policy.spec.action_shape, np.float32)\n"
        "prefix = left_over(policy.sample(context, noise), context.stamp_ns, 4)\n"
        "assert policy.sample(context, noise, prefix).info.guided\n"
        "print([name for name in ('torch', 'onnx', 'rclpy') if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr
