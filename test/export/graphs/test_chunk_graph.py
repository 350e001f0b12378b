"""All steps of a chunk in one graph: the same chunk, checked by the gate, never required."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from learn_rig import plan, silent, write_episodes
from onnx import numpy_helper

from arfm_ros.bench.cost import count
from arfm_ros.cli.__main__ import main
from arfm_ros.core.chunks.rtc import left_over
from arfm_ros.core.errors import Cancelled
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import solve
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.bundle import CHUNK, CHUNK_RTC, WEIGHTS, file_sha256
from arfm_ros.engines.gate.replay import load_reference, replay
from arfm_ros.export.bundle import export_bundle
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.objectives.flow_loss import FlowConfig

WHOLE = ("chunk.onnx", "chunk_rtc.onnx")
NOISE_OF_FLOAT32 = 1e-5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chunk")
    options = {"steps": 20, "learning_rate": 3e-3, "flow": FlowConfig(delay_max=6)}
    start(plan(write_episodes(root / "data"), root / "run", **options), say=silent)
    export_bundle(root / "run", root / "bundle", "rig", threads=1, say=silent)
    return root / "bundle"


def opened(folder: Path, **more: object) -> EnginePolicy:
    policy = load_policy(folder, threads=1, **more)  # type: ignore[arg-type]
    assert isinstance(policy, EnginePolicy)
    return policy


def noise(policy: EnginePolicy, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(policy.spec.flow_shape).astype(np.float32)


def without(bundle: Path, folder: Path) -> Path:
    """Make what an earlier version exported: the same without the graphs of whole chunks."""
    shutil.copytree(bundle, folder)
    raw = json.loads((folder / "policy.json").read_text())
    for name in WHOLE:
        (folder / name).unlink()
        del raw["sha256"][name]
    (folder / "policy.json").write_text(json.dumps(raw))
    return folder


def changed(
    bundle: Path, folder: Path, name: str, change: Callable[[onnx.ModelProto], None]
) -> Path:
    """Copy a bundle with another graph under its name, as if it had been exported so."""
    shutil.copytree(bundle, folder)
    model = onnx.load(folder / name, load_external_data=False)
    change(model)
    (folder / name).write_bytes(model.SerializeToString())
    raw = json.loads((folder / "policy.json").read_text())
    raw["sha256"][name] = file_sha256(folder / name)
    (folder / "policy.json").write_text(json.dumps(raw))
    return folder


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("following", [False, True])
def test_it_is_the_chunk_of_the_steps_one_by_one(
    bundle: Path, tmp_path: Path, steps: int, following: bool
) -> None:
    policies = opened(bundle), opened(without(bundle, tmp_path / "old"))
    assert [one.runtime.whole for one in policies] == ["chunk, chunk_rtc", ""]
    reference = load_reference(bundle)
    for k in range(2):
        contexts = [policy.encode(reference.observation(k)) for policy in policies]
        first = policies[1].sample(contexts[1], noise(policies[1], k + 5))
        follows = left_over(first, first.stamp_ns, 4) if following else None
        chunks = [
            policy.sample(context, noise(policy, k), follows, steps)
            for policy, context in zip(policies, contexts)
        ]
        one, other = (chunk.actions for chunk in chunks)
        np.testing.assert_allclose(one, other, atol=NOISE_OF_FLOAT32, rtol=0)
        assert [(c.info.steps, c.info.guided) for c in chunks] == [(steps, following)] * 2
        if following:
            np.testing.assert_allclose(one[:4], first.actions[:4], atol=1e-5)


def test_weights_are_shared_and_the_work_is_counted(bundle: Path) -> None:
    spec = load_bundle(bundle).spec
    for name, step in zip(WHOLE, ("step.onnx", "step_rtc.onnx")):
        path = bundle / name
        assert path.stat().st_size < 0.1 * (bundle / WEIGHTS).stat().st_size
        one, whole = count(bundle / step), count(path, spec.steps)
        # of frozen actions the modulation at time 1 is the same in every step
        assert 0.95 * spec.steps * one.flops < whole.flops <= spec.steps * one.flops
        assert whole.weight_bytes < spec.steps * one.weight_bytes
        assert whole.working_set < 1.1 * one.bytes
    assert (
        count(bundle / CHUNK, 3).flops * spec.steps == 3 * count(bundle / CHUNK, spec.steps).flops
    )


def test_the_gate_replays_it_and_refuses_a_wrong_one(bundle: Path, tmp_path: Path) -> None:
    reference = load_reference(bundle)
    assert replay(opened(bundle), reference).passed

    def slower(model: onnx.ModelProto) -> None:  # sines of the time turn 1 in 10^4 too slowly
        for tensor in model.graph.initializer:
            if tensor.name == "frequency":
                value = numpy_helper.to_array(tensor) * np.float32(0.9999)
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))

    def stuck(model: onnx.ModelProto) -> None:  # the right step, but always the first one
        (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
        body = next(a.g for a in loop.attribute if a.name == "body")
        (row,) = (node for node in body.node if node.output[0] == "row")
        row.input[1] = "zero"
        model.graph.initializer.append(numpy_helper.from_array(np.array(0), "zero"))

    for i, (name, change) in enumerate((n, c) for n in WHOLE for c in (slower, stuck)):
        parity = replay(opened(changed(bundle, tmp_path / f"{i}", name, change)), reference)
        assert not parity.passed, (name, change)
        assert (parity.max_guided_error > parity.limits.step) == (name == CHUNK_RTC)


def test_one_that_nobody_hashed_is_not_run(bundle: Path, tmp_path: Path) -> None:
    old = without(bundle, tmp_path / "old")
    shutil.copy(bundle / CHUNK, old / CHUNK)
    assert opened(old).runtime.whole == ""
    assert replay(opened(old), load_reference(bundle)).passed


def test_a_runtime_that_cannot_read_it_goes_step_by_step(bundle: Path, tmp_path: Path) -> None:
    def newer(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 99

    policy = opened(changed(bundle, tmp_path / "new", CHUNK, newer))
    assert policy.runtime.whole == "chunk_rtc"
    assert "chunks run step by step" in policy.runtime.describe()
    assert replay(policy, load_reference(bundle)).passed


def test_it_runs_where_there_is_time_for_all_of_it(bundle: Path) -> None:
    now_ns = 0

    def clock() -> int:
        nonlocal now_ns
        now_ns += 10
        return now_ns

    policy = opened(bundle, clock=clock)
    context = policy.encode(load_reference(bundle).observation(0))
    given = noise(policy, 0)
    assert policy.sample(context, given, steps=8, deadline_ns=now_ns + 20).info.steps == 2
    assert policy.sample(context, given, steps=8, deadline_ns=now_ns + 10_000).info.steps == 8
    assert policy.sample(context, given, steps=8, deadline_ns=now_ns + 20).info.steps < 8
    with pytest.raises(Cancelled, match="before step 1 of 8"):
        policy.sample(context, given, steps=8, cancelled=lambda: True)


def test_other_solvers_take_their_steps_one_by_one(bundle: Path) -> None:
    policy = opened(bundle)
    sampler = replace(policy.spec.sampler, solver="heun")
    policy.spec = replace(policy.spec, sampler=sampler)
    context, given = policy.encode(load_reference(bundle).observation(0)), noise(policy, 0)
    solver = make_solver(sampler, 4, given)
    wanted = solve(solver, policy.velocity(context), given).sample
    found = policy.sample(context, given, steps=4).actions
    np.testing.assert_array_equal(found, policy.spec.unnormalise_actions(wanted, context.state))


def test_openvino_runs_it_too(bundle: Path) -> None:
    pytest.importorskip("openvino")
    policy = opened(bundle, engine="openvino")
    assert policy.runtime.whole == "chunk, chunk_rtc"
    assert replay(policy, load_reference(bundle)).passed


def test_an_older_bundle_is_written_again_with_its_own_weights(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = without(bundle, tmp_path / "old")
    (old / "evaluations.json").write_text("{}")
    main(["export", str(old), "--out", str(tmp_path / "new")])
    new = load_bundle(tmp_path / "new")
    assert {*WHOLE} <= new.files and new.spec.to_json() == load_bundle(old).spec.to_json()
    assert (new.path / WEIGHTS).read_bytes() == (old / WEIGHTS).read_bytes()
    assert (new.path / "evaluations.json").read_text() == "{}"
    assert json.loads((new.path / "parity.json").read_text())["passed"] is True
    assert (new.path / "README.md").is_file()
    provenance = load_bundle(old).provenance
    assert {**new.provenance, "exported_with": 0} == {**provenance, "exported_with": 0}
    assert "arfm check" in capsys.readouterr().out
    assert main(["export", str(old)]) == 1 and "--out" in capsys.readouterr().err
