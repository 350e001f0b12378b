"""pi0 of transformers fine-tuned here: a small random checkpoint, read back by transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the extra 'vla' is not installed")

from learn_rig import write_episodes  # noqa: E402
from packaging.version import Version  # noqa: E402
from pi0_rig import save_checkpoint, write_interface  # noqa: E402
from transformers import PI0ForConditionalGeneration  # noqa: E402
from tuned_rig import (  # noqa: E402
    Given,
    assert_a_stopped_run_goes_on,
    assert_activations_computed_again_change_no_gradient,
    assert_pieces_give_the_gradient_of_the_whole,
    assert_what_sees_does_not_learn_with_the_expert,
)

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.learn.objectives.arfm import Arfm  # noqa: E402
from arfm_ros.learn.tuning.tuner import Piece  # noqa: E402

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.24"), reason="a transformers that LeRobot wants"
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("pi0")
    save_checkpoint(folder / "checkpoint")
    write_interface(folder / "robot.yaml")
    write_episodes(folder / "episodes")
    (folder / "child.py").write_text(
        "import sys\nfrom arfm_ros.cli.__main__ import run\nrun(['train', *sys.argv[3:]])\n"
    )
    return Given("transformers", "pi0", folder)


def read(folder: Path) -> Any:
    return PI0ForConditionalGeneration.from_pretrained(folder).eval()


def told(given: Given) -> dict[str, np.ndarray]:
    numbers = json.loads((given.checkpoint / "processor_config.json").read_text())
    names = (f"{what}_{k}" for what in ("state", "actions") for k in ("mean", "std"))
    return {name: np.array(numbers[name], np.float32) for name in names}


def test_arfm_weighs_the_library_s_own_losses(given: Given, tmp_path: Path) -> None:
    """Written out here: what the model makes of x_t, and w = softmax(alpha R*) of its errors."""
    one = given.tuner(tmp_path, objective=Arfm(moments="gaussian", normaliser="batch", lam=0.5))
    rows = one.batches.drawn(0, 8)
    losses = one._losses(Piece(rows, 0, 8)).detach()  # noqa: SLF001
    raw, known, model = one.batches.raw(rows), told(given), read(given.checkpoint)
    offsets = raw.action.numpy() - np.pad(raw.state.numpy()[:, None, :7], ((0, 0), (0, 0), (0, 1)))
    wanted = (offsets - known["actions_mean"]) / known["actions_std"]
    actions = torch.from_numpy(np.pad(wanted, ((0, 0), (0, 0), (0, 4))).astype(np.float32))
    torch.manual_seed(0)  # step 0 of seed 0
    noise = torch.randn(8, 10, 12)
    beta = torch.distributions.Beta(torch.tensor(1.5), torch.tensor(1.0))
    time = beta.sample((8,)) * 0.999 + 0.001
    batch = one.policy.before(raw)
    at = time[:, None, None]
    seen = {**batch, "actions": None, "noise": at * noise + (1 - at) * actions, "timestep": time}
    with torch.no_grad():
        velocity = model(**seen).logits
    errors = ((noise - actions - velocity) ** 2).mean(dim=(1, 2))
    torch.testing.assert_close(losses, errors, rtol=1e-5, atol=1e-6)
    signal, task = one.batches.told(rows)
    found, info = one._weights(losses, signal, task)  # noqa: SLF001
    assert float(signal.std()) > 0.1  # one episode failed
    np.testing.assert_allclose(
        found.numpy(), torch.softmax(info["alpha"] * signal, 0).numpy(), rtol=1e-6
    )


def test_a_batch_is_what_the_library_s_processor_makes(given: Given, tmp_path: Path) -> None:
    """`PI0Processor` needs torchvision; its pictures and numbers, one sample at a time."""
    pytest.importorskip("torchvision", reason="reads pictures for transformers")
    processor = transformers.PI0Processor.from_pretrained(given.checkpoint)
    one = given.tuner(tmp_path)
    raw = one.batches.raw(one.batches.drawn(0, 8))
    batch = one.policy.before(raw)
    for i, text in enumerate(raw.tasks):
        pictures = [[picture[i] for picture in raw.pictures.values()]]
        wanted = processor(images=pictures, text=[text], state=raw.state[i : i + 1])
        np.testing.assert_allclose(batch["pixel_values"][i], wanted["pixel_values"][0], atol=1e-6)
        np.testing.assert_allclose(batch["state"][i], np.asarray(wanted["state"])[0], atol=1e-5)
        ids = np.asarray(wanted["input_ids"])[0][np.asarray(wanted["attention_mask"])[0] > 0]
        counted = batch["attention_mask"][i].bool()
        np.testing.assert_array_equal(batch["input_ids"][i][counted].numpy(), ids)


def test_laws_of_every_fine_tuning(given: Given, tmp_path: Path) -> None:
    assert_pieces_give_the_gradient_of_the_whole(given, tmp_path)
    assert_activations_computed_again_change_no_gradient(given, tmp_path, 0.8)
    assert_a_stopped_run_goes_on(given, tmp_path)
    assert_what_sees_does_not_learn_with_the_expert(given, tmp_path, (".vlm.",))


@pytest.mark.parametrize("part", ["whole", "lora"])
def test_transformers_reads_it_and_it_is_exported(given: Given, tmp_path: Path, part: str) -> None:
    more = ("--steps", "3", "--objective", "arfm", "--tune", part, "--learning-rate", "1e-3")
    assert given.train_here(tmp_path / "run", *more, "--rank", "2") == 0
    last = tmp_path / "run" / "checkpoints" / "last" / "pretrained_model"
    now, was = read(last), read(given.checkpoint)
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in last.iterdir())
    settings = [m.config.to_dict() | {"_name_or_path": ""} for m in (now, was)]
    assert settings[0] == settings[1]
    pairs = zip(now.named_parameters(), was.named_parameters())
    apart = [name for (name, a), (_, b) in pairs if not torch.equal(a, b)]
    assert apart and not any("lora" in name for name, _ in now.named_parameters())
    words = ["--out", str(tmp_path / "b"), "--interface", str(given.interface)]
    assert main(["export", f"transformers:{last}", *words]) == 0
    assert json.loads((tmp_path / "b" / "parity.json").read_text())["passed"]


def test_what_was_learned_is_what_the_library_does(given: Given, tmp_path: Path) -> None:
    """Episodes in which joint 1 goes where a bright square says; transformers samples."""
    more = ("--steps", "150", "--learning-rate", "3e-3", "--save-every", "150")
    assert given.train_here(tmp_path / "run", *more) == 0
    last = tmp_path / "run" / "checkpoints" / "last" / "pretrained_model"
    one = given.tuner(tmp_path)
    batch = one.policy.before(one.batches.raw(one.batches.drawn(0, 8)))
    actions = batch.pop("actions")
    noise = torch.randn(8, 10, 12, generator=torch.Generator().manual_seed(1))
    before, after = (
        float((read(folder).sample_actions(**batch, noise=noise) - actions)[..., :8].abs().mean())
        for folder in (given.checkpoint, last)
    )
    assert after < 0.7 * before


def test_what_does_not_fit_is_said(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    words = ["--steps", "1", "--interface", str(given.interface), "--out", str(tmp_path / "r")]
    cases = {
        f"transformers:{other}": "is of type llama; of transformers pi0",
        "openpi:x": "give le",
    }
    for policy, said in cases.items():
        assert main(["train", str(given.episodes), "--policy", policy, *words]) != 0
        assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("part", ["whole", "lora"])
def test_two_processes_take_the_steps_of_one(given: Given, part: str) -> None:
    words = ("--steps", "3", "--tune", part, "--rank", "2")
    given.train(f"{part}1", *words)
    given.train(f"{part}2", *words, processes=2)
    one, two = given.weights(f"{part}1"), given.weights(f"{part}2")
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)
    assert read(given.last(f"{part}2")).config.architectures == ["PI0ForConditionalGeneration"]
