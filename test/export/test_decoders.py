"""Policies that are no flow, from torch to the chunk: regression, DDIM and DDPM on real graphs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from decoder_rig import DT_NS, LEVELS, spec, with_ddim, write_decoder
from policy_rig import PICTURE, STATE, Robot, pairs, start_node, write_bundle
from test_swap import ask_for

from arfm_ros.cli.__main__ import main
from arfm_ros.core.chunks.rtc import left_over
from arfm_ros.core.errors import BundleError, Cancelled, EngineError, SpecError
from arfm_ros.core.values.data import ActionChunk, ChunkInfo, Observation
from arfm_ros.core.values.spec import PolicySpec, Rtc
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay

KINDS = ("regression", "ddim", "ddpm", "masked")
DRAWN = ("ddim", "ddpm")  # of noise


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("decoders")
    made = {kind: write_decoder(root / kind, kind) for kind in ("regression", "ddpm", "masked")}
    return made | {"ddim": with_ddim(made["ddpm"], root / "ddim")}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def policy(bundles: dict[str, Path], kind: str) -> EnginePolicy:
    return opened(bundles[kind])


def opened(bundle: Path, **options: object) -> EnginePolicy:
    policy = load_policy(bundle, threads=1, **options)  # type: ignore[arg-type]
    assert isinstance(policy, EnginePolicy)
    return policy


def noise(policy: EnginePolicy, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(policy.spec.flow_shape).astype(np.float32)


def test_the_graphs_compute_what_torch_samples(bundles: dict[str, Path], kind: str) -> None:
    reference, policy = load_reference(bundles[kind]), opened(bundles[kind])
    parity = replay(policy, reference)
    assert parity.passed and parity.max_chunk_error <= LIMITS["fp32"].chunk
    assert (parity.max_chunk_error == 0) == (kind == "masked")  # bins are the same or they are not
    assert len(parity.step_errors) == policy.spec.steps
    assert 0 < parity.max_step_error <= LIMITS["fp32"].step
    assert np.abs(reference.chunk[0] - reference.chunk[1]).max() > 1e-2
    assert np.abs(reference.trace[0, -1]).max() > 0.1


def test_a_check_passes_and_finds_other_weights(
    bundles: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundles[kind], tmp_path / kind))
    assert main(["check", str(copy), "--threads", "1"]) == 0
    rows = dict(np.load(copy / "reference.npz"))
    size = max(1.0, float(np.abs(rows["velocity"]).max()))  # limits are shares of it
    other = rows["velocity"] + np.float32(3e-5 * size)
    np.savez(copy / "reference.npz", **rows | {"velocity": other})
    assert main(["check", str(copy), "--threads", "1"]) == 1


def test_a_chunk_begins_after_the_observation(policy: EnginePolicy, kind: str) -> None:
    seen = replace(policy.spec.example(0), stamp_ns=10**9)
    chunk = policy.sample(policy.encode(seen), noise(policy))
    horizon = 15 if kind in DRAWN else 16
    assert chunk.actions.shape == (horizon, 8) and chunk.stamp_ns == 10**9
    assert chunk.due_ns(0) == 10**9 + DT_NS
    assert chunk.info.steps == {"regression": 1, "ddim": 5, "ddpm": LEVELS, "masked": 8}[kind]


def test_noise_decides_a_diffusion_s_chunk_and_nothing_of_a_regression_s(
    policy: EnginePolicy, kind: str
) -> None:
    context = policy.encode(policy.spec.example(0))
    one, same, other = (policy.sample(context, noise(policy, seed)).actions for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (np.abs(one - other).max() > 1e-3) == (kind in DRAWN)


def test_the_number_of_steps_is_the_caller_s_where_there_are_any(
    policy: EnginePolicy, kind: str
) -> None:
    context = policy.encode(policy.spec.example(0))
    chunk = policy.sample(context, noise(policy), steps=4)
    assert chunk.info.steps == (1 if kind == "regression" else 4)
    if kind in DRAWN:
        with pytest.raises(EngineError, match="has 50 levels of noise"):
            policy.sample(context, noise(policy), steps=1000)


def test_a_deadline_cuts_the_steps_and_a_cancelled_chunk_ends(
    bundles: dict[str, Path], kind: str
) -> None:
    now = iter(range(10**6))
    policy = opened(bundles[kind], clock=lambda: next(now) * 1_000_000)
    context = policy.encode(policy.spec.example(0))
    begin_ns = next(now) * 1_000_000
    chunk = policy.sample(context, noise(policy), deadline_ns=begin_ns + 5_000_000)
    assert chunk.info.steps < 5 and np.isfinite(chunk.actions).all()
    with pytest.raises(Cancelled):
        policy.sample(context, noise(policy), cancelled=lambda: True)


def test_no_chunk_follows_on(policy: EnginePolicy) -> None:
    context = policy.encode(policy.spec.example(0))
    chunk = policy.sample(context, noise(policy))
    with pytest.raises(EngineError, match="takes no prefix"):
        policy.sample(context, noise(policy), left_over(chunk, chunk.stamp_ns, 2))
    with pytest.raises(SpecError, match="rtc mode 'guided' needs a flow"):
        replace(policy.spec, rtc=Rtc("guided"))


def test_a_diffusion_sees_what_was_before(bundles: dict[str, Path]) -> None:
    policy = opened(bundles["ddim"])
    seen = policy.spec.example(0)
    assert len(seen.earlier) == 1

    def chunk(observation: Observation) -> np.ndarray:
        return policy.sample(policy.encode(observation), noise(policy)).actions

    still = replace(seen, earlier=(replace(seen, earlier=()),))
    assert np.abs(chunk(seen) - chunk(still)).max() > 1e-4
    np.testing.assert_array_equal(chunk(still), chunk(replace(seen, earlier=())))
    turned = replace(seen.earlier[0], earlier=(replace(seen, earlier=()),))
    assert np.abs(chunk(seen) - chunk(turned)).max() > 1e-4
    with pytest.raises(SpecError, match="state has 3 values"):
        policy.encode(replace(seen, earlier=(replace(seen, state=seen.state[:3]),)))


def test_the_contract_of_the_graphs_says_what_each_needs(bundles: dict[str, Path]) -> None:
    def inputs(name: str, graph: str) -> dict[str, list[int]]:
        values = onnx.load(bundles[name] / graph, load_external_data=False).graph.input
        return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    assert inputs("regression", "step.onnx") == {"memory": [1, 4, 32]}
    assert inputs("ddpm", "step.onnx") == {"x": [1, 16, 8], "t": [1], "seen": [1, 64]}
    assert inputs("regression", "prefix.onnx")["image_scene"] == [1, 32, 48, 3]
    both = inputs("ddpm", "prefix.onnx")
    assert both == {
        "image_scene": [1, 2, 32, 48, 3], "image_wrist": [1, 2, 32, 48, 3], "state": [1, 2, 8],
    }  # fmt: skip


def test_json_reads_back_equal_and_without_a_sampler_it_is_a_flow(
    kind: str, tmp_path: Path
) -> None:
    again = PolicySpec.from_json(spec(kind).to_json())
    assert again == spec(kind) and again.history == spec(kind).history
    np.testing.assert_array_equal(again.sampler.alphas_cumprod, spec(kind).sampler.alphas_cumprod)
    folder = write_bundle(tmp_path / "flow")
    raw = json.loads((folder / "policy.json").read_text())
    for name in ("sampler", "history", "past"):
        del raw["spec"][name]
    (folder / "policy.json").write_text(json.dumps(raw))
    old = load_bundle(folder).spec
    assert (old.sampler.kind, old.history.count, old.past) == ("flow", 1, 0)
    raw["spec"]["sampler"] = {"kind": kind, "alphas_cumprod": [0.5, 0.9]}
    (folder / "policy.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="levels of noise|need to fall"):
        load_bundle(folder)


class Blinking(Robot):
    """A robot that sees another brightness in each image."""

    def _capture(self) -> None:
        light = np.random.default_rng(len(self.shown)).uniform(0.2, 1.0)
        self.picture = {name: (light * image).astype(np.uint8) for name, image in PICTURE.items()}
        super()._capture()


@pytest.fixture
def robot(bundles: dict[str, Path], ros_domain: int) -> Iterator[Robot]:
    """A robot whose policy node runs the DDIM bundle; it needs no instruction."""
    process = start_node(bundles["ddim"], "seed:=7")
    robot = Blinking(ros_domain)
    yield robot
    process.kill()
    process.communicate()
    robot.close()


def test_the_node_shows_a_diffusion_the_past_and_swaps_to_a_regression(
    bundles: dict[str, Path], robot: Robot
) -> None:
    policies = {load_bundle(one).sha256: opened(one) for one in bundles.values()}
    looked: set[int] = set()
    counts = {"ddim": 0, "regression": 0}

    def computed(kind: str, wanted: int) -> bool:
        """Look at the new chunks: so many are what was seen then; a lost image spoils one."""
        for chunk, info, _ in pairs(robot):
            policy = policies[info.bundle_sha256]
            if chunk.stamp_ns not in looked and comes_from(policy, chunk, info, robot):
                counts[policy.spec.name] += 1
            looked.add(chunk.stamp_ns)
        return counts[kind] >= wanted

    robot.until(lambda: len(robot.infos) >= 3 and len(robot.chunks) >= 3)
    robot.until(lambda: computed("ddim", 2))
    ask_for(robot, bundles["regression"])
    robot.until(lambda: computed("regression", 1))


def comes_from(policy: EnginePolicy, chunk: ActionChunk, info: ChunkInfo, robot: Robot) -> bool:
    """Compute a chunk again from the images of its time and of one of the captures before."""
    shown = sorted(robot.shown)
    now = next(i for i, stamp in enumerate(shown) if stamp >= chunk.stamp_ns)
    rng = np.random.default_rng((info.seed, info.chunk_id))
    start = rng.standard_normal(policy.spec.flow_shape, dtype=np.float32)

    def again(earlier: int) -> np.ndarray:
        both = [Observation(robot.shown[shown[i]], STATE, "", 0) for i in (earlier, now)]
        context = policy.encode(replace(both[1], earlier=(both[0],)))
        return policy.sample(context, start).actions

    made = [again(i) for i in range(max(now - 3, 0), now)]
    return any(np.allclose(chunk.actions, actions, atol=1e-5) for actions in made)
