"""GR00T N1.7 of LeRobot: small random checkpoints, exported, against LeRobot itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NEEDS = "GR00T N1.7 is LeRobot 0.6's, in .venv-vla"
pytest.importorskip("lerobot.policies.groot.groot_n1_7", reason=NEEDS)

import torch  # noqa: E402
from foreign_laws import assert_each_counts, assert_guidance_acts, some_noise  # noqa: E402
from groot_checkpoint_rig import ROWS, TAG, change_step, save_groot  # noqa: E402
from lerobot_more_rig import CAMERAS, WORDS, library_commands, write_interface  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines import load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.vla.model import VlaRunning, export_vla  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)
RELATIVE = 1e-4  # of the commands, from raw inputs
SPOKEN = "Place it, on the TABLE!"
PACK, ENCODE = "groot_n1_7_pack_inputs_v1", "groot_n1_7_vlm_encode_v1"
# name -> how the checkpoint is made; rows of its actions; size of the pictures
CASES: dict[str, tuple[dict[str, Any], int, tuple[int, int]]] = {
    "plain": ({}, 10, (60, 90)),
    "short": (
        {"base": {"use_alternate_vl_dit": False, "add_pos_embed": False}, "n_action_steps": 6,
         "see": {"shortest_image_edge": 40, "crop_fraction": 0.9}},
        6, (48, 64),
    ),
    "groups": (
        {"sidecars": True, "embodiment_tag": TAG, "base": {"attend_text_every_n_blocks": 1}},
        ROWS, (96, 128),
    ),
    "offsets": ({"use_relative_actions": True, "sidecars": True, "embodiment_tag": TAG,
                 "see": {"use_albumentations": False}}, ROWS, (48, 64)),
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A checkpoint and what became of it."""

    case: str
    checkpoint: Path
    interface: Path
    bundle: Path


@pytest.fixture(scope="module", params=sorted(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = save_groot(folder, **CASES[request.param][0])
    interface, bundle = write_interface(folder / "robot.yaml"), folder / "bundle"
    words = ["--out", str(bundle), "--interface", str(interface)]
    assert main(["export", f"lerobot:{checkpoint}", *words]) == 0
    yield Made(request.param, checkpoint, interface, bundle)


def library_chunk(made: Made, seen: Any, noise: Any, steps: int, patch: Any) -> Any:
    """Let LeRobot compute a chunk from raw inputs: its files, its processors, its policy class."""
    from lerobot.policies.groot.modeling_groot import GrootPolicy

    policy = GrootPolicy.from_pretrained(made.checkpoint).eval()
    policy._groot_model.action_head.num_inference_timesteps = steps
    return library_commands(policy, made.checkpoint, seen, noise, patch)


def observed(made: Made, policy: Any, seed: int) -> Any:
    """Make an observation whose pictures are a camera's, and words as people say them."""
    rng, size = np.random.default_rng(seed), CASES[made.case][2]
    seen = replace(policy.spec.example(seed), instruction=SPOKEN)
    pictures = {n: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for n in seen.images}
    return replace(seen, images=pictures)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_the_chunk_is_the_library_s_from_raw_inputs(
    made: Made, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the export's own is used for what is wanted; a camera may be missing."""
    policy = load_policy(made.bundle, threads=1)
    seen, noise = observed(made, policy, steps), some_noise(policy)
    chunk = policy.sample(policy.encode(seen), noise, steps=steps)
    wanted = library_chunk(made, seen, noise, steps, monkeypatch)
    gap = np.abs(chunk.actions - wanted).max() / np.abs(wanted).max()
    print(f"groot {made.case}, {steps} steps: {gap:.1e} of the commands")
    assert wanted.shape == (CASES[made.case][1], 8) and 0 < gap <= RELATIVE


def test_the_graphs_pass_their_own_check(made: Made) -> None:
    parity = replay(load_policy(made.bundle, threads=1), load_reference(made.bundle))
    assert parity.passed and parity.max_guided_error <= LIMITS["fp32"].step
    assert "groot of LeRobot" in (made.bundle / "README.md").read_text()
    assert main(["check", str(made.bundle), "--json", "-"]) == 0


def test_guidance_acts_and_every_input_counts(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    spec = policy.spec
    if spec.follows:
        assert_guidance_acts(policy)
    assert (spec.spare > 0) == (spec.rtc.mode == "none") == (made.case != "plain")
    assert spec.state_in_step == "position"  # a newer state may follow older pictures
    seen = spec.example(0)
    dark = {name: image // 2 for name, image in seen.images.items()}
    others = (
        replace(seen, instruction=WORDS[1]),
        replace(seen, state=seen.state + 0.05),
        replace(seen, images={**seen.images, "scene": dark["scene"]}),
        replace(seen, images={**seen.images, "wrist": dark["wrist"]}),
    )
    assert_each_counts(policy, others)


def test_actions_stay_within_what_was_seen_in_training(made: Made) -> None:
    policy = load_policy(made.bundle, threads=1)
    spec, noise = policy.spec, 30 * some_noise(policy)
    seen = spec.example(0)
    actions = policy.sample(policy.encode(seen), noise).actions
    x = spec.action_norm.normalise(actions - spec.reference(seen.state))
    assert 0.99 < np.abs(x).max() <= 1 + 1e-4  # so much noise reaches the bound


ONE = pytest.mark.parametrize("made", ["groups"], indirect=True)


@ONE
def test_weights_in_half_precision_stay_so(made: Made, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.checkpoint, tmp_path / "copy"))
    whole = load_file(copy / "model.safetensors")
    save_file({k: v.bfloat16() for k, v in whole.items()}, copy / "model.safetensors")
    running = VlaRunning(weights="bf16")
    parity = export_vla(f"lerobot:{copy}", made.interface, tmp_path / "b", "b", running)
    small, large = (x / "weights.safetensors" for x in (tmp_path / "b", made.bundle))
    assert parity.passed and small.stat().st_size < 0.55 * large.stat().st_size


def test_the_other_robots_weights_are_left_out(made: Made) -> None:
    kept = load_file(made.bundle / "weights.safetensors")
    of_robots = [v for k, v in kept.items() if k.endswith(("layer1.W", "W1.W", "W2.W", "W3.W"))]
    assert len(of_robots) == 5 and all(len(weight) == 1 for weight in of_robots)


@ONE
def test_another_gr00t_of_an_older_library_is_said(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(name: str) -> Any:  # 0.5 has no such module, 0.4.4 may not import its own
        return None if name.endswith("groot_n1_7") else name

    monkeypatch.setattr("arfm_ros.export.families.lerobot_groot.find_spec", older)
    with pytest.raises(ConfigError, match="as LeRobot 0.6 has it .N1.7., which needs Python 3.13"):
        export_vla(f"lerobot:{made.checkpoint}", made.interface, tmp_path / "b", "b")


@ONE
def test_what_is_not_exported_is_named(made: Made, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made.checkpoint, tmp_path / "copy"))
    config = copy / "config.json"
    before = {path: path.read_text() for path in copy.glob("*.json")}

    def refused(says: str, interface: Path = made.interface) -> None:
        with pytest.raises(ConfigError, match=says):
            export_vla(f"lerobot:{copy}", interface, tmp_path / "b", "b")
        for path, text in before.items():
            path.write_text(text)
        assert not (tmp_path / "b").exists()

    def configured(**settings: Any) -> None:
        config.write_text(json.dumps(json.loads(config.read_text()) | settings))

    with pytest.raises(ConfigError, match="NVIDIA's own folder: open it in LeRobot"):
        export_vla(f"lerobot:{made.checkpoint.parent / 'base'}", made.interface, tmp_path, "b")
    configured(action_decode_transform="libero")
    refused("transform for LIBERO is not exported: set action_decode_transform")
    configured(base_model_path=str(tmp_path / "nowhere"))
    refused("base_model_path, .* no folder .*nowhere")
    change_step(copy, ENCODE, {"letter_box_transform": True})
    refused("letter_box_transform = true")
    change_step(copy, ENCODE, {"image_target_size": None})
    refused("without image_target_size")
    change_step(copy, ENCODE, {"model_name": str(tmp_path / "nowhere")})
    refused("cannot open the processor .*nowhere.*save it into")
    change_step(copy, PACK, {"embodiment_mapping": {TAG: 40}})
    refused("embodiment 40, the network has 0 to 11")
    change_step(copy, PACK, {"video_modality_keys": [CAMERAS[0]]})
    refused("does not look at wrist: leave it out")
    change_step(copy, PACK, {"new_setting": 1})
    refused("new_setting = 1")
    other = tmp_path / "robot.yaml"
    text = made.interface.read_text()
    other.write_text(text.replace("actions: [fr3_joint1, fr3", "actions: [other_joint1, fr3"))
    refused("offsets from the state .* name state and actions alike", other)
    steps = copy / "policy_postprocessor.json"
    steps.write_text(steps.read_text().replace("NON_EEF", "EEF"))
    refused("arm is an offset of an end effector")
