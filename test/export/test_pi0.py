"""pi0 of transformers: a small random checkpoint, exported, against the library's own sampler."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="the extra 'vla' is not installed")

from foreign_laws import assert_each_counts, assert_guidance_acts  # noqa: E402
from pi0_rig import WORDS, save_checkpoint, small_config, write_interface  # noqa: E402
from transformers import PI0ForConditionalGeneration, PI0Processor  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError, SpecError  # noqa: E402
from arfm_ros.core.values.data import Observation  # noqa: E402
from arfm_ros.engines import load_bundle, load_policy  # noqa: E402
from arfm_ros.engines.gate.replay import LIMITS, load_reference, replay  # noqa: E402
from arfm_ros.export.vla.model import export_vla  # noqa: E402
from arfm_ros.learn.objectives.arfm import Arfm  # noqa: E402

LIMIT = LIMITS["fp32"].step
torch.set_num_threads(1)  # small tensors: more threads only wait for each other

pytestmark = pytest.mark.slow  # the export alone takes minutes


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("pi0"))


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_interface(tmp_path_factory.mktemp("robot") / "robot.yaml")


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, interface: Path) -> Path:
    out = interface.with_name("bundle")
    words = ["--out", str(out), "--interface", str(interface)]
    assert main(["export", f"transformers:{checkpoint}", *words]) == 0
    return out


def test_the_graphs_compute_what_the_library_s_sampler_does(bundle: Path) -> None:
    reference = load_reference(bundle)
    parity = replay(load_policy(bundle, threads=1), reference)
    assert parity.passed and 0 < parity.max_step_error <= LIMIT
    assert parity.max_chunk_error <= LIMIT and parity.max_guided_error <= LIMIT
    assert np.abs(reference.trace[0, -1] - reference.trace[1, -1]).max() > 1e-2
    assert reference.noise.shape == (2, 10, 12) and reference.chunk.shape == (2, 10, 8)


def test_the_chunk_is_the_library_s_from_raw_inputs(bundle: Path, checkpoint: Path) -> None:
    """Nothing of the export's own is used for what is wanted."""
    from transformers import AutoTokenizer

    policy, raw = load_policy(bundle, threads=1), {}
    raw |= json.loads((checkpoint / "processor_config.json").read_text())
    seen = policy.spec.example(3)
    noise = np.random.default_rng(1).standard_normal((10, 12)).astype(np.float32)
    chunk = policy.sample(policy.encode(seen), noise)
    model = PI0ForConditionalGeneration.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    text = tokenizer("<bos>lift the red cube\n", add_special_tokens=False)["input_ids"]
    image_token = model.config.vlm_config.image_token_id
    pixels = np.stack([seen.images["scene"], seen.images["wrist"]]) / 255.0 * 2 - 1
    state = (seen.state - np.array(raw["state_mean"])) / np.array(raw["state_std"])
    ids = torch.tensor([[image_token] * 8 + text])
    wanted = model.sample_actions(
        state=torch.tensor(np.pad(state, (0, 4)), dtype=torch.float32)[None],
        input_ids=ids,
        attention_mask=torch.ones_like(ids),  # as the library's processor gives it
        pixel_values=torch.tensor(pixels, dtype=torch.float32).permute(0, 3, 1, 2)[None],
        pixel_attention_mask=torch.ones(1, 2, dtype=torch.bool),
        noise=torch.from_numpy(noise)[None],
    )[0, :, :8].numpy()
    physical = wanted * np.array(raw["actions_std"]) + np.array(raw["actions_mean"])
    physical[:, :7] += seen.state[:7]
    np.testing.assert_allclose(chunk.actions, physical, atol=2e-5)


def test_the_gate_begins_at_raw_pictures(bundle: Path, checkpoint: Path) -> None:
    """`PI0Processor` of a camera's pictures and `sample_actions`: nothing of the export's own."""
    pytest.importorskip("torchvision", reason="reads pictures for transformers")
    reference, policy = load_reference(bundle), load_policy(bundle, threads=1)
    assert reference.images["scene"].shape == (2, 480, 640, 3)
    processor = PI0Processor.from_pretrained(checkpoint)
    model = PI0ForConditionalGeneration.from_pretrained(checkpoint).eval()
    pictures = [[reference.images[name][0] for name in ("scene", "wrist")]]
    text, state = [reference.instructions[0]], reference.state[:1]
    given = processor(images=pictures, text=text, state=state)
    noise = torch.from_numpy(reference.noise[:1])
    given = {name: torch.as_tensor(value) for name, value in given.items()}
    wanted = model.sample_actions(**given, noise=noise)[0, :, :8].numpy()
    numbers = [np.array(getattr(processor, f"actions_{k}")) for k in ("std", "mean")]
    commands = wanted * numbers[0] + numbers[1]
    commands[:, :7] += state[0, :7]
    seen = Observation(
        {name: reference.images[name][0] for name in ("scene", "wrist")}, state[0], text[0], 0
    )
    found = policy.sample(policy.encode(seen), reference.noise[0]).actions
    for one in (reference.chunk[0], found):
        assert np.abs(one - commands).max() <= 1e-5 * np.abs(commands).max()
    print(
        "pi0 of transformers, commands:", np.abs(found - commands).max() / np.abs(commands).max()
    )


def test_chunks_follow_on_and_every_input_counts(bundle: Path) -> None:
    policy = load_policy(bundle, threads=1)
    assert_guidance_acts(policy)
    seen = policy.spec.example(0)
    dark = {name: image // 2 for name, image in seen.images.items()}
    others = (
        replace(seen, instruction=WORDS[1]),
        replace(seen, state=seen.state + 0.3),
        replace(seen, images=dark),
    )
    assert_each_counts(policy, others)


def test_too_long_an_instruction_is_refused(bundle: Path) -> None:
    policy = load_policy(bundle, threads=1)
    with pytest.raises(SpecError, match="policy takes 48: shorten it"):
        policy.encode(replace(policy.spec.example(0), instruction=200 * WORDS[1]))


def test_the_tokenizer_is_part_of_what_is_checked(bundle: Path) -> None:
    assert "tokenizer.json" in json.loads((bundle / "policy.json").read_text())["sha256"]
    assert load_bundle(bundle).spec.language.template == "<bos>{instruction}\n"


def test_a_checkpoint_says_what_it_lacks(
    checkpoint: Path, interface: Path, tmp_path: Path
) -> None:
    source = f"transformers:{checkpoint}"
    with pytest.raises(ConfigError, match="give --interface"):
        export_vla(source, None, tmp_path / "b", "b")
    with pytest.raises(ConfigError, match="has no config.json, nor pretrained_model"):
        export_vla(f"transformers:{tmp_path}", interface, tmp_path / "b", "b")
    (tmp_path / "robot.yaml").write_text(interface.read_text().replace(", gripper]", "]"))
    with pytest.raises(ConfigError, match="has 8 state, the interface file 7: fr3_joint1"):
        export_vla(source, tmp_path / "robot.yaml", tmp_path / "b", "b")
    assert not (tmp_path / "b").exists()


def test_a_policy_node_serves_it(bundle: Path, ros_domain: int) -> None:
    from policy_rig import PICTURE, STATE, pairs, served

    policy = load_policy(bundle, threads=1)
    with served(bundle, ros_domain, "seed:=5") as robot:
        robot.hears("no instruction")
        robot.instruct(WORDS[1])
        robot.hears_more_chunks(4)
        found = pairs(robot)
    for chunk, info, _ in found:
        assert info.bundle_sha256 == load_bundle(bundle).sha256
        noise = np.random.default_rng((5, info.chunk_id)).standard_normal(
            policy.spec.flow_shape, dtype=np.float32
        )
        if info.guided:
            continue  # it depends on the chunk before
        seen = Observation(PICTURE, STATE, WORDS[1], stamp_ns=0)
        again = policy.sample(policy.encode(seen), noise)
        np.testing.assert_allclose(chunk.actions, again.actions, atol=1e-5)


def test_arfm_s_weights_drive_the_library_s_loss() -> None:
    """Training steps of pi0 on two groups of actions: the rewarded one is what it learns."""
    torch.manual_seed(0)
    config = small_config(40, 39)
    config.loss_reduction = "none"
    model = PI0ForConditionalGeneration(config)
    batch = {
        "state": torch.zeros(8, 12),
        "input_ids": torch.tensor([[39] * 4 + [5, 6, 7]] * 8),
        "pixel_values": torch.zeros(8, 1, 3, 28, 28),
        "pixel_attention_mask": torch.ones(8, 1, dtype=torch.bool),
        "actions": torch.cat([torch.ones(4, 10, 12), -torch.ones(4, 10, 12)]),
    }
    signal = torch.tensor([1.0] * 4 + [-1.0] * 4)
    objective = Arfm(lam=1e4, alpha_max=5.0)

    @torch.no_grad()
    def per_group() -> torch.Tensor:
        torch.manual_seed(1)  # the same noise and times before and after
        draws = [model(**batch).loss.mean(dim=(1, 2)) for _ in range(10)]
        return torch.stack(draws).mean(dim=0).view(2, 4).mean(dim=1)

    before = per_group()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(80):
        losses = model(**batch).loss.mean(dim=(1, 2))
        loss, info = objective.loss(losses, signal)
        assert losses.shape == (8,) and info["ess"] < 8
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    good, bad = per_group()
    assert good < 0.8 * before[0] and good < 0.8 * bad
