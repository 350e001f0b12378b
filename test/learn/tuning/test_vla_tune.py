"""LeRobot's policies fine-tuned here: small random checkpoints, read back by LeRobot itself.

Run by `./arfm test --vla`, in the environment that has LeRobot.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import torch  # noqa: E402
from lerobot_rig import CLASSES  # noqa: E402
from tuned_rig import (  # noqa: E402
    Given,
    assert_a_stopped_run_goes_on,
    assert_pieces_give_the_gradient_of_the_whole,
    assert_what_sees_does_not_learn_with_the_expert,
)
from tuning_rig import KINDS, make_given  # noqa: E402

from arfm_ros.cli.__main__ import main  # noqa: E402
from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines.bundle import load_bundle  # noqa: E402
from arfm_ros.learn.objectives.arfm import Arfm  # noqa: E402
from arfm_ros.learn.objectives.rwr import Rwr  # noqa: E402
from arfm_ros.learn.tuning.policy import Adapter  # noqa: E402
from arfm_ros.learn.tuning.tuner import Piece  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)


@pytest.fixture(scope="module", params=KINDS)
def given(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Given]:
    yield from make_given(request.param, tmp_path_factory.mktemp(request.param))


def test_arfm_weighs_the_library_s_own_losses(given: Given, tmp_path: Path) -> None:
    """Written out here: w = softmax(alpha R*) of the losses that LeRobot's class gives."""
    objective = Arfm(moments="gaussian", normaliser="batch", lam=0.5)
    one = given.tuner(tmp_path, objective=objective)
    rows = one.batches.drawn(0, 8)
    signal, task = one.batches.told(rows)
    assert float(signal.std()) > 0.1  # one episode failed
    losses = one._losses(Piece(rows, 0, 8))  # noqa: SLF001
    again = one._losses(Piece(rows, 0, 8))  # noqa: SLF001
    assert torch.equal(losses, again) and losses.shape == (8,)
    found, info = one._weights(losses.detach(), signal, task)  # noqa: SLF001
    logits = info["alpha"] * signal.numpy()
    wanted = np.exp(logits - logits.max())
    np.testing.assert_allclose(found.numpy(), wanted / wanted.sum(), rtol=1e-6)


def test_rows_are_drawn_by_what_they_weigh_among_all(given: Given, tmp_path: Path) -> None:
    """In one batch of 8 a success weighs more or less by chance; among all rows it does not."""
    tmp_path.joinpath("run").mkdir()
    objective = Arfm(alpha_min=1.0, alpha_max=1.0, moments="gaussian", normaliser="batch")
    one = given.tuner(tmp_path / "run", objective=objective, drawn=True)
    one.draw_by_weight(tmp_path / "run", resumes=False)
    all_rows, chance = one.batches.rows, one.batches.chance
    signal = one.batches.signal[all_rows]
    np.testing.assert_allclose(chance, np.exp(signal) / np.exp(signal).sum(), rtol=1e-6)
    seen = np.concatenate([one.batches.drawn(step, 8) for step in range(2000)])
    often = np.array([(seen == row).mean() for row in all_rows])
    assert np.abs(often - chance).max() < 4 * np.sqrt(chance.max() / len(seen))
    info = one.step()
    assert "alpha" not in info and info["loss"] > 0  # each row counts the same
    again = given.tuner(tmp_path / "run", objective=Rwr(), drawn=True)
    again.draw_by_weight(tmp_path / "run", resumes=True)
    np.testing.assert_array_equal(again.batches.chance, chance)
    with pytest.raises(ConfigError, match="--drawn needs an objective that weighs .*, not fm"):
        given.tuner(tmp_path / "run", drawn=True)


def test_a_batch_in_pieces(given: Given, tmp_path: Path) -> None:
    assert_pieces_give_the_gradient_of_the_whole(given, tmp_path)


def test_a_stopped_run(given: Given, tmp_path: Path) -> None:
    assert_a_stopped_run_goes_on(given, tmp_path)


def test_only_what_is_asked_for_learns(given: Given, tmp_path: Path) -> None:
    assert_what_sees_does_not_learn_with_the_expert(given, tmp_path, (".vlm.", ".paligemma."))


@pytest.mark.parametrize("part", ["whole", "lora"])
def test_lerobot_reads_it_and_it_is_exported(given: Given, tmp_path: Path, part: str) -> None:
    out = tmp_path / "run"
    more = ("--steps", "3", "--objective", "arfm", "--tune", part, "--learning-rate", "1e-3")
    assert given.train_here(out, *more, "--rank", "2") == 0
    last = out / "checkpoints" / "last" / "pretrained_model"
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in last.iterdir())
    module = importlib.import_module(f"lerobot.policies.{given.kind}.modeling_{given.kind}")
    read = getattr(module, CLASSES[given.kind][1]).from_pretrained(last)
    was = getattr(module, CLASSES[given.kind][1]).from_pretrained(given.checkpoint)
    apart = [
        name
        for (name, a), (_, b) in zip(read.named_parameters(), was.named_parameters())
        if not torch.equal(a, b)
    ]
    assert apart and not any("lora" in name for name, _ in read.named_parameters())
    words = ["--out", str(tmp_path / "b"), "--interface", str(given.interface)]
    assert main(["export", f"lerobot:{last}", *words]) == 0
    assert json.loads((tmp_path / "b" / "parity.json").read_text())["passed"]
    assert load_bundle(tmp_path / "b").spec.horizon == 10


def test_what_does_not_fit_is_said(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {
        ("--steps", "2", "--objective", "advantage"): "do not have: fm, filtered_bc",
        ("--minutes", "1"): "give --steps",
        ("--steps", "2", "--init", "x"): "--init with --policy: is for policies of this project",
    }
    for words, said in cases.items():
        assert given.train_here(tmp_path / "r", *words) != 0
        assert said in capsys.readouterr().err
    assert Adapter().rank == 16


def test_what_diverged_is_not_saved(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--steps", "6", "--learning-rate", "1e30")
    assert given.train_here(tmp_path / "r", *words) != 0
    assert "diverged: " in capsys.readouterr().err
    assert not [*(tmp_path / "r").rglob("*.safetensors")]
