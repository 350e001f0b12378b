"""ACT and Diffusion Policy of LeRobot: small random checkpoints against the library's sampling."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("lerobot", reason="LeRobot lives in an environment of its own")

from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402
from lerobot.policies.factory import (  # noqa: E402
    get_policy_class,
    make_policy_config,
    make_pre_post_processors,
)
from safetensors.torch import load_file, save_file  # noqa: E402

from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.core.values.data import Observation  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.families.lerobot_diffusion import added  # noqa: E402
from arfm_ros.export.vla.model import export_vla  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)

NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")
CAMERAS = {"top": "scene", "hand": "wrist"}
IMAGES = "observation.images."
ACT = {"dim_model": 64, "n_heads": 4, "dim_feedforward": 96, "n_encoder_layers": 2}
ACT |= {"n_vae_encoder_layers": 1, "latent_dim": 8, "chunk_size": 20, "n_action_steps": 20}
UNET = {"down_dims": (32, 64), "diffusion_step_embed_dim": 32, "n_groups": 4}
UNET |= {"crop_shape": (48, 56), "spatial_softmax_num_keypoints": 8}
DDIM = {"noise_scheduler_type": "DDIM", "num_inference_steps": 10, "prediction_type": "sample"}
ALONE = {"n_obs_steps": 1, "resize_shape": (40, 48), "crop_ratio": 0.9}
ALONE |= {"use_separate_rgb_encoder_per_camera": True, "num_inference_steps": 20}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "act": ("act", ACT),
    "ddpm": ("diffusion", UNET),
    "ddim": ("diffusion", UNET | DDIM),
    "alone": ("diffusion", UNET | ALONE),
}


@dataclass
class Made:
    """A checkpoint of the library, and the bundle that became of it."""

    kind: str
    policy: Any
    before: Callable[[dict[str, Any]], dict[str, Any]]
    after: Callable[[torch.Tensor], torch.Tensor]
    folder: Path
    bundle: Path


def statistics(seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """Make the numbers of a data set in which the gripper was never seen to move."""
    rng, made = np.random.default_rng(seed), {}
    pictures = {f"{IMAGES}{name}": (3, 1, 1) for name in CAMERAS}
    for key, shape in {"observation.state": (8,), "action": (8,), **pictures}.items():
        low, high = -rng.uniform(0.5, 2, shape), rng.uniform(0.5, 2, shape)
        numbers = {"mean": 0.3 * low, "std": high, "min": low, "max": high}
        made[key] = {k: torch.tensor(v, dtype=torch.float32) for k, v in numbers.items()}
    still = made["observation.state"]
    still["min"][7] = still["max"][7]
    return made


def write_checkpoint(folder: Path, kind: str, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Save a policy and its processors as the library's training does."""
    torch.manual_seed(0)
    inputs = {f"{IMAGES}{n}": PolicyFeature(FeatureType.VISUAL, (3, 64, 80)) for n in CAMERAS}
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (8,))
    config = make_policy_config(
        kind,
        input_features=inputs,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (8,))},
        device="cpu",
        pretrained_backbone_weights=None,
        **options,
    )
    policy = get_policy_class(kind)(config).eval()
    before, after = make_pre_post_processors(config, dataset_stats=statistics())
    for part in (policy, before, after):
        part.save_pretrained(folder)
    return policy, before, after


def write_interface(path: Path, **changes: object) -> Path:
    names = list(NAMES)
    robot = {"cameras": CAMERAS, "state": names, "actions": names, "dt_s": 0.05}
    path.write_text(json.dumps({**robot, "instruction": "lift", **changes}))
    return path


@pytest.fixture(scope="module", params=sorted(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    root, (kind, options) = tmp_path_factory.mktemp(request.param), CASES[request.param]
    policy, before, after = write_checkpoint(root / "checkpoint", kind, options)
    robot = write_interface(root / "robot.yaml")
    export_vla(f"lerobot:{root / 'checkpoint'}", robot, root / "bundle", "small")
    return Made(kind, policy, before, after, root / "checkpoint", root / "bundle")


def library_chunk(made: Made, seen: Observation, noise: np.ndarray) -> np.ndarray:
    """Sample with the library alone: its processors, its queues, its scheduler."""

    def batch(one: Observation) -> dict[str, Any]:
        pictures = {
            f"{IMAGES}{name}": torch.from_numpy(one.images[camera]).permute(2, 0, 1) / 255
            for name, camera in CAMERAS.items()
        }
        return made.before({**pictures, "observation.state": torch.from_numpy(one.state)})

    policy = made.policy
    policy.reset()
    if made.kind == "act":
        return made.after(policy.predict_action_chunk(batch(seen)))[0].numpy()
    actions: list[torch.Tensor] = []
    for one in (*seen.earlier, seen):
        policy._queues["action"].clear()
        with added(noise):
            actions = [policy.select_action(batch(one), noise=torch.from_numpy(noise)[None])]
    actions += list(policy._queues["action"])
    return made.after(torch.stack(actions, dim=1))[0].numpy()


def test_the_graphs_compute_what_the_library_samples(made: Made) -> None:
    reference, policy = load_reference(made.bundle), load_policy(made.bundle, threads=1)
    parity = replay(policy, reference)
    assert parity.passed and 0 < parity.max_step_error <= LIMITS["fp32"].step
    assert parity.max_chunk_error <= LIMITS["fp32"].chunk
    assert len(parity.step_errors) == policy.spec.steps
    assert np.abs(reference.trace[0, -1] - reference.trace[1, -1]).max() > 1e-2


def test_the_chunk_is_the_library_s_from_raw_inputs(made: Made) -> None:
    """Nothing of the export's own is used for what is wanted."""
    policy = load_policy(made.bundle, threads=1)
    seen = policy.spec.example(3)
    for one in (*seen.earlier, seen):  # where the library computes with it
        one.state[7] = statistics()["observation.state"]["max"][7]
    noise = np.random.default_rng(1).standard_normal(policy.spec.flow_shape).astype(np.float32)
    chunk = policy.sample(policy.encode(seen), noise)
    wanted = library_chunk(made, seen, noise)
    gap = np.abs(chunk.actions[: len(wanted)] - wanted).max() / np.abs(wanted).max()
    print(f"{made.kind}, {policy.spec.steps} steps: {gap:.1e} of the commands")
    np.testing.assert_allclose(chunk.actions[: len(wanted)], wanted, atol=2e-5)
    config = made.policy.config
    assert len(wanted) == config.n_action_steps
    rows = config.chunk_size if made.kind == "act" else config.horizon - config.n_obs_steps + 1
    assert chunk.horizon == rows and policy.spec.history.count == config.n_obs_steps


def test_every_input_counts(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    noise = np.zeros(policy.spec.flow_shape, np.float32)
    first, second = (policy.spec.example(seed) for seed in (0, 1))

    def output(seen: Observation) -> np.ndarray:
        return policy.velocity(policy.encode(seen))(noise, 3.0)

    kept = {"images": first.images, "state": first.state, "earlier": first.earlier}
    changes = [{"state": second.state}]
    changes += [
        {"images": {**first.images, name: second.images[name]}} for name in CAMERAS.values()
    ]
    changes += [{"earlier": second.earlier}] if first.earlier else []
    for change in changes:
        other = Observation(**{**kept, **change}, instruction="", stamp_ns=0)  # type: ignore
        assert np.abs(output(other) - output(first)).max() > 1e-6, change.keys()


def test_an_axis_that_never_moved_does_not_blow_up(made: Made) -> None:
    norm = load_policy(made.bundle, threads=1).spec.state_norm
    resting = np.float32(statistics()["observation.state"]["max"][7])
    moved = norm.normalise(np.full(8, resting + 0.1, np.float32))[7]
    assert abs(moved) < 2


def test_a_checkpoint_says_what_it_lacks(made: Made, tmp_path: Path) -> None:
    copy, out = Path(shutil.copytree(made.folder, tmp_path / "copy")), tmp_path / "out"

    def refused(says: str, **interface: object) -> None:
        robot = write_interface(tmp_path / "robot.yaml", **interface)
        with pytest.raises(ConfigError, match=says):
            export_vla(f"lerobot:{copy}", robot, out, "small")
        assert not out.exists()

    refused(
        "sees observation.images.hand, the interface file has cameras: top", cameras={"top": "a"}
    )
    refused("state has 8 numbers, the interface file 7: fr3_joint1", state=list(NAMES[:7]))
    refused("gives a camera twice: scene, scene", cameras={"top": "scene", "hand": "scene"})
    (copy / "policy_preprocessor.json").rename(copy / "kept.json")
    refused("has no policy_preprocessor.json")
    (copy / "kept.json").rename(copy / "policy_preprocessor.json")
    state = load_file(copy / "model.safetensors")
    name = next(key for key in state if state[key].ndim > 1)
    save_file(state | {name: state[name][:1].clone()}, copy / "model.safetensors")
    refused(f"weights of another shape: {name} is")
    save_file({k: v for k, v in state.items() if k != name}, copy / "model.safetensors")
    refused(f"lacks 1 weights: {name}")
    (copy / "model.safetensors").unlink()
    refused("cannot read the weights")
    (copy / "config.json").write_text("{}")
    refused(
        "has policy type 'None', known are: "
        "act, diffusion, groot, multi_task_dit, pi0, pi05, smolvla, xvla"
    )
