"""One contract over all engines, and every way in which a bundle can be broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from learn_rig import DT_NS, exported

from arfm_ros.core.errors import BundleError, EngineError, SpecError
from arfm_ros.core.values.data import Context, Observation
from arfm_ros.engines import EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.bundle import file_sha256
from arfm_ros.engines.gate.replay import load_reference
from arfm_ros.robots.fr3 import facts as fr3

ROBOT = (*fr3.JOINT_NAMES, fr3.GRIPPER_NAME)
CAMERAS = ("scene", "wrist", "spare")
TORCH = {"engine": "torch", "providers": ("cpu",)}
ENGINES: dict[str, Callable[..., EnginePolicy]] = {
    "onnx": load_policy,
    "torch": partial(load_policy, **TORCH),  # type: ignore
}


class Steps:
    """A clock that moves on by a fixed time at each look."""

    def __init__(self, step_ns: int) -> None:
        self.now_ns, self.step_ns = 0, step_ns

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory)[1]


@pytest.fixture(scope="module", params=sorted(ENGINES))
def policy(request: pytest.FixtureRequest, bundle: Path) -> EnginePolicy:
    return ENGINES[request.param](bundle, threads=1)


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def noise(policy: EnginePolicy, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(policy.spec.action_shape).astype(np.float32)


def observe(policy: EnginePolicy, stamp_ns: int = 123) -> Observation:
    return replace(policy.spec.example(0), stamp_ns=stamp_ns)


def test_a_chunk_carries_the_observation_s_stamp_names_and_origin(policy: EnginePolicy) -> None:
    context = policy.encode(observe(policy))
    chunk = policy.sample(context, noise(policy))
    assert (chunk.stamp_ns, chunk.dt_ns, chunk.names) == (123, DT_NS, ROBOT)
    assert chunk.actions.shape == policy.spec.action_shape and chunk.source == "policy"
    info = chunk.info
    assert info.steps == policy.spec.steps and len(info.bundle_sha256) == 64
    assert 0 < info.encode_ns == context.encode_ns and info.sample_ns > 0
    assert info.inference_end_ns - info.inference_begin_ns >= info.encode_ns + info.sample_ns
    assert policy.sample(context, noise(policy)).info.chunk_id == info.chunk_id + 1


def test_the_same_noise_gives_the_same_chunk_and_other_noise_another(policy: EnginePolicy) -> None:
    context = policy.encode(observe(policy))
    one, same = (policy.sample(context, noise(policy)).actions for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(policy.sample(context, noise(policy, 1)).actions - one).max() > 1e-6


def test_the_reference_chunk_comes_out(policy: EnginePolicy, bundle: Path) -> None:
    reference = load_reference(bundle)
    chunk = policy.sample(policy.encode(reference.observation(2)), reference.noise[2])
    np.testing.assert_allclose(chunk.actions, reference.chunk[2], atol=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 16])
def test_the_number_of_steps_is_the_caller_s(policy: EnginePolicy, steps: int) -> None:
    context = policy.encode(observe(policy))
    assert policy.sample(context, noise(policy), steps=steps).info.steps == steps


def test_a_deadline_cuts_the_steps_and_still_gives_a_whole_chunk(bundle: Path) -> None:
    clock = Steps(step_ns=1_000_000)
    policy = load_policy(bundle, threads=1, clock=clock)
    context = policy.encode(observe(policy))
    begin_ns = clock.now_ns
    late = policy.sample(context, noise(policy), deadline_ns=begin_ns + 5_000_000)
    assert 1 < late.info.steps < policy.spec.steps
    assert clock.now_ns <= begin_ns + 7_000_000
    in_time = policy.sample(context, noise(policy), deadline_ns=clock.now_ns + 10**9)
    assert in_time.info.steps == policy.spec.steps


def test_larger_images_are_resized_as_training_does(policy: EnginePolicy) -> None:
    rng = np.random.default_rng(0)
    large = {
        c.name: rng.integers(0, 256, (96, 64, 3), dtype=np.uint8) for c in policy.spec.cameras
    }
    small = {
        name: np.asarray(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA))
        for name, image in large.items()
    }
    a = policy.encode(replace(observe(policy), images=large))
    b = policy.encode(replace(observe(policy), images=small))
    for name, tensor in a.tensors.items():
        np.testing.assert_array_equal(tensor, b.tensors[name])


def test_images_that_are_views_are_read_right(policy: EnginePolicy) -> None:
    observation = observe(policy)
    flipped = {name: image[::-1, ::-1] for name, image in observation.images.items()}
    packed = {name: image.copy() for name, image in flipped.items()}
    a = policy.encode(replace(observation, images=flipped))
    b = policy.encode(replace(observation, images=packed))
    np.testing.assert_array_equal(a.tensors["keys"], b.tensors["keys"])


def test_the_instruction_reaches_the_network_also_after_a_change(policy: EnginePolicy) -> None:
    texts = ["lift the cube", "push it away", "lift the cube"]
    seen = [
        policy.encode(replace(observe(policy), instruction=text)).tensors["summary"]
        for text in texts
    ]
    np.testing.assert_array_equal(seen[0], seen[2])
    assert np.abs(seen[0] - seen[1]).max() > 0


def test_an_observation_that_does_not_fit_is_refused(policy: EnginePolicy) -> None:
    good = observe(policy)
    with pytest.raises(SpecError, match="camera 'scene' is missing"):
        policy.encode(replace(good, images={"wrist": good.images["wrist"]}))
    with pytest.raises(SpecError, match="not finite: fr3_joint1"):
        policy.encode(replace(good, state=np.full(8, np.nan, np.float32)))


def test_what_is_not_finite_never_becomes_a_chunk(policy: EnginePolicy) -> None:
    context = policy.encode(observe(policy))
    broken = {name: np.full_like(tensor, np.nan) for name, tensor in context.tensors.items()}
    with pytest.raises(EngineError, match="not finite"):
        policy.sample(Context(broken, context.state, context.stamp_ns), noise(policy))
    with pytest.raises(EngineError, match="not finite"):
        policy.sample(context, np.full(policy.spec.action_shape, np.inf, np.float32))


def test_noise_of_another_shape_is_refused(policy: EnginePolicy) -> None:
    context = policy.encode(observe(policy))
    with pytest.raises(EngineError, match=r"noise is \(3, 8\)"):
        policy.sample(context, np.zeros((3, 8), np.float32))


def test_the_specification_holds_the_arm_s_limits(bundle: Path) -> None:
    axes = load_bundle(bundle).spec.action
    assert tuple(axis.low for axis in axes) == (*fr3.POSITION_MIN_RAD, 0.0)
    assert tuple(axis.high for axis in axes) == (*fr3.POSITION_MAX_RAD, 1.0)


def test_a_robot_that_fits_passes_and_each_difference_is_named(bundle: Path) -> None:
    opened = load_bundle(bundle)
    opened.check_robot(ROBOT, CAMERAS, 0.05)
    for robot, says in [
        ((ROBOT, ("scene",), 0.05), "cameras wrist missing, robot has scene"),
        ((ROBOT[:-1], CAMERAS, 0.05), "states gripper unknown"),
        ((tuple(f"ur_{n}" for n in range(6)), CAMERAS, 0.05), "joints ur_0, ur_1"),
        ((ROBOT, CAMERAS, 0.1), "dt is 50 ms, robot runs at 100 ms"),
    ]:
        with pytest.raises(BundleError, match=says):
            opened.check_robot(*robot)


def _rewrite(folder: Path, change: Callable[[dict], None]) -> None:
    raw = json.loads((folder / "policy.json").read_text())
    change(raw)
    (folder / "policy.json").write_text(json.dumps(raw))


def test_every_missing_file_is_named(copy: Path) -> None:
    for name in ("step.onnx", "prefix.onnx", "policy.json"):
        (copy / name).unlink()
        with pytest.raises(BundleError, match=f"{name} is missing"):
            load_bundle(copy)
    with pytest.raises(BundleError, match="no bundle at"):
        load_bundle(copy / "nowhere")


def test_a_policy_file_that_is_broken_is_named(copy: Path) -> None:
    _rewrite(copy, lambda raw: raw["spec"].pop("horizon"))
    with pytest.raises(BundleError, match="horizon"):
        load_bundle(copy)
    for content, says in [("{", "not JSON"), ("[]", "needs a map"), ('{"spec": {}}', "sha256")]:
        (copy / "policy.json").write_text(content)
        with pytest.raises(BundleError, match=says):
            load_bundle(copy)


def test_a_graph_of_other_bytes_is_refused(copy: Path) -> None:
    content = bytearray((copy / "step.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "step.onnx").write_bytes(bytes(content))
    with pytest.raises(BundleError, match="step.onnx was changed"):
        load_policy(copy)


def test_a_graph_that_onnxruntime_cannot_read_is_refused(copy: Path) -> None:
    (copy / "prefix.onnx").write_bytes(b"no graph at all")
    found = file_sha256(copy / "prefix.onnx")
    _rewrite(copy, lambda raw: raw["sha256"].update({"prefix.onnx": found}))
    with pytest.raises(BundleError, match="onnxruntime cannot read"):
        load_policy(copy)


def test_a_provider_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no provider 'magic'; known: cpu, cuda, tensorrt"):
        load_policy(bundle, providers=("cpu", "magic"))


def test_the_first_provider_that_runs_is_used_and_the_others_are_named(bundle: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    runtime = load_policy(bundle, providers=("cuda", "cpu")).runtime
    assert runtime.device == "cpu" and runtime.engine == "onnx"
    assert runtime.describe().endswith("fp32 on cpu (cuda is not in this onnxruntime)")
    with pytest.raises(BundleError, match="cuda is not .* required: .* install onnxruntime-gpu"):
        load_policy(bundle, providers=("cuda",))


def test_an_engine_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no engine 'tensort'; known: onnx, openvino, tensorrt"):
        load_policy(bundle, engine="tensort")
    with pytest.raises(BundleError, match="no precision 'int3'; known: fp32"):
        load_policy(bundle, precision="int3")
    with pytest.raises(BundleError, match="export .* --engine onnx --precision fp16"):
        load_policy(bundle, precision="fp16")


def test_two_observations_can_be_integrated_in_turns(policy: EnginePolicy) -> None:
    contexts = [policy.encode(replace(observe(policy), instruction=i)) for i in ("lift", "push")]
    alone = [policy.velocity(context)(noise(policy), 0.5) for context in contexts]
    fields = [policy.velocity(context) for context in contexts]
    for _ in range(2):
        for field, wanted in zip(fields, alone):
            np.testing.assert_array_equal(field(noise(policy), 0.5), wanted)


def test_the_bundle_s_hash_covers_the_normalisation_but_not_its_origin(copy: Path) -> None:
    before = load_bundle(copy).sha256
    _rewrite(copy, lambda raw: raw["provenance"].update({"note": "renamed"}))
    assert load_bundle(copy).sha256 == before
    _rewrite(copy, lambda raw: raw["spec"]["state_norm"]["offset"].__setitem__(0, 0.5))
    assert load_bundle(copy).sha256 != before


def test_running_a_policy_never_imports_torch(bundle: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from arfm_ros.engines import load_policy\n"
        f"policy = load_policy({str(bundle)!r}, threads=1)\n"
        "context = policy.encode(policy.spec.example(0))\n"
        "policy.sample(context, np.zeros(policy.spec.action_shape, np.float32))\n"
        "print([name for name in ('torch', 'onnx', 'rclpy') if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr
