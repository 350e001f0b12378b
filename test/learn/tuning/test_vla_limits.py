"""What a fine-tuning needs, what it keeps, and what it refuses.

Run by `./arfm test --vla`, in the environment that has LeRobot.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lerobot", reason="LeRobot is in .venv-vla: ./arfm test --vla")

import torch  # noqa: E402
from tuned_rig import (  # noqa: E402
    Given,
    assert_activations_computed_again_change_no_gradient,
)
from tuning_rig import KINDS, make_given  # noqa: E402

from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines.memory import GIB  # noqa: E402
from arfm_ros.learn.loop.group import Group  # noqa: E402
from arfm_ros.learn.tuning import budget  # noqa: E402
from arfm_ros.learn.tuning.trial import peak  # noqa: E402
from arfm_ros.learn.tuning.tuner import Tuner  # noqa: E402

pytestmark = pytest.mark.vla
torch.set_num_threads(1)
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Alike(Group):
    """Several processes that all say the same."""

    def largest(self, *values: float) -> list[float]:
        return list(values)


@pytest.fixture(scope="module", params=KINDS)
def given(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Given]:
    yield from make_given(request.param, tmp_path_factory.mktemp(request.param))


def test_activations_computed_again(given: Given, tmp_path: Path) -> None:
    assert_activations_computed_again_change_no_gradient(given, tmp_path, 0.7)


def test_a_trial_of_two_samples_tells_what_many_hold() -> None:
    """For each sample 4 kB and for a while 40 kB, whatever their number 400 kB."""
    weight = torch.ones(1000, requires_grad=True)

    def take(count: int) -> None:
        fixed = torch.zeros(100_000)
        kept = torch.zeros(count, 1000) * weight
        passing = torch.zeros(count, 10_000)
        del passing
        (kept.sum() + fixed.sum()).backward()
        weight.grad = None

    told, bytes_of = peak(take, 50), {"fixed": 400_000, "sample": 44_000}
    wanted = bytes_of["fixed"] + 50 * bytes_of["sample"]
    assert wanted <= told < 1.1 * wanted


def test_memory_that_is_not_there_is_told_for_each_process(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = given.tuner(tmp_path, part="whole")
    monkeypatch.setattr(budget, "available", lambda: 1000.0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"0.0 GiB before any activation; 0.0 GiB are free: --t"):
        budget.require_weights(one.policy, CPU)
    pair = Alike(0, 2)
    with pytest.raises(ConfigError, match="GiB for each of 2 processes before any activation"):
        budget.require_weights(one.policy, CPU, pair)
    monkeypatch.setattr(budget, "available", lambda: 8.0 * GIB)
    with pytest.raises(
        ConfigError,
        match=r"too little memory: a run needs [\d.]+ GiB for each of 2 processes: .* 5.00 for "
        r"gradients and activations of a step; 4.0 GiB are free for each of 2 processes: --tune",
    ):
        budget.require_step(one.policy, 5.0 * GIB, CPU, pair)
    assert budget.require_step(one.policy, 3.0 * GIB, CPU, pair).step == 3 * GIB


def test_shares_that_are_not_equal_are_refused(given: Given, tmp_path: Path) -> None:
    one = given.tuner(tmp_path)
    with pytest.raises(ConfigError, match="--batch 8 does not cut into 3 equal shares"):
        Tuner(one.policy, one.batches, one.config, Group(0, 3))


def test_another_version_of_the_library_is_named(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"lerobot.policies.{given.kind}.modeling_{given.kind}")
    flow = {"pi0": "PI0Pytorch", "smolvla": "VLAFlowMatching"}[given.kind]
    monkeypatch.delattr(getattr(module, flow), "sample_noise")
    with pytest.raises(ConfigError, match="draws its noise in another way than 0.4.4, 0.5 and"):
        given.policy()


def test_a_run_that_goes_on_is_the_same_run(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert given.train_here(out, "--steps", "1", "--resume") == 0  # nothing to go on from
    assert "holds no checkpoint yet: beginning" in capsys.readouterr().out
    assert given.train_here(out, "--steps", "2") != 0
    assert "holds a run: add --resume" in capsys.readouterr().err
    others = ("--seed", "3", "--objective", "arfm", "--tune", "expert", "--batch", "4")
    assert given.train_here(out, "--steps", "2", "--resume", *others) != 0
    said = capsys.readouterr().err
    for what in ("batch 4, the run has 8", "seed 3", 'objective.name "arfm"', 'part "expert"'):
        assert what in said
    assert given.train_here(out, "--steps", "2", "--resume", "--piece", "2") == 0
    assert "going on after step 1" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["fp16"])
def test_half_precision_without_scaled_gradients_is_refused(
    given: Given, tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert given.train_here(tmp_path / "r", "--steps", "1", "--precision", word) != 0
    assert "computes in bf16 or fp32" in capsys.readouterr().err
