"""Preferences on the flow loss: which way it goes, what it needs, and that a run can go on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_rig import plan, silent, write_episodes

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.begin import prepare, start
from arfm_ros.learn.loop.checkpoint import load_checkpoint, save_checkpoint
from arfm_ros.learn.objectives.preference import Preference


def test_a_pair_is_worth_what_the_formula_says() -> None:
    losses = torch.tensor([0.01, 0.04], dtype=torch.float64)
    value, info = Preference(beta=10.0, anchor=0.5).loss(losses, torch.tensor([1.0, -1.0]))
    assert float(value) == pytest.approx(math.log1p(math.exp(-10 * 0.03)) + 0.5 * 0.01)
    assert info == {"pairs": 1.0, "preferred": 1.0}


def test_the_better_is_made_likelier_and_the_worse_less() -> None:
    rng = torch.Generator().manual_seed(0)
    losses = 0.1 * torch.randn(32, generator=rng, dtype=torch.float64)
    signal = torch.where(torch.arange(32) % 2 == 0, 1.0, -1.0).double()
    slopes, _ = Preference(anchor=0.0).weights(losses, signal)
    assert (slopes[signal > 0] > 0).all() and (slopes[signal < 0] < 0).all()
    assert float(slopes.sum()) == pytest.approx(0.0, abs=1e-12)
    anchored, _ = Preference(anchor=1.0).weights(losses, signal)
    assert float(anchored.sum()) == pytest.approx(1.0)


def test_tasks_are_not_compared_and_a_small_difference_is_none() -> None:
    losses, signal = torch.zeros(4).double(), torch.tensor([1.0, -1.0, 1.0, -1.0]).double()
    apart = torch.tensor([0, 1, 2, 3])
    value, info = Preference().loss(losses + 2.0, signal, apart)
    assert float(value) == 2.0 and info["pairs"] == 0.0  # plain flow matching
    _, info = Preference().loss(losses, signal, torch.tensor([0, 0, 1, 1]))
    assert info["pairs"] == 2.0
    _, info = Preference(margin=3.0).loss(losses, signal)
    assert info["pairs"] == 0.0
    for knobs in ({"beta": 0.0}, {"anchor": -1.0}, {"margin": 0.0}):
        with pytest.raises(ConfigError, match="need above 0"):
            Preference(**knobs)


def test_it_begins_at_the_reference_and_goes_on_as_if_it_had_not_been_stopped(
    tmp_path: Path,
) -> None:
    data = write_episodes(tmp_path / "data", 6)
    start(plan(data, tmp_path / "first", steps=2), say=silent)
    options = {"objective": Preference(), "steps": 4, "save_every_s": 0.0}
    whole = replace(plan(data, tmp_path / "whole", **options), init=tmp_path / "first")
    trainer, _ = prepare(whole, "", silent)
    assert trainer.reference is not None
    before = {k: v.clone() for k, v in trainer.reference.state_dict().items()}
    info = trainer.step()
    assert info["batch_loss"] == pytest.approx(math.log(2.0), abs=1e-4)  # nothing has changed yet
    for _ in range(2):
        trainer.step()
    assert all(torch.equal(v, before[k]) for k, v in trainer.reference.state_dict().items())
    start(replace(whole, out=tmp_path / "all"), say=silent)
    short = replace(whole, out=tmp_path / "cut")
    trainer, run = prepare(short, "", silent)
    for _ in range(2):
        trainer.step()
    save_checkpoint(trainer.checkpoint(run.provenance, {}), short.out)
    start(replace(short, resume=True), say=silent)
    ends = [load_checkpoint(tmp_path / name).model for name in ("all", "cut")]
    assert all(torch.equal(v, ends[1][k]) for k, v in ends[0].items())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", 4)
    with pytest.raises(ConfigError, match="compares with what is begun with: give --init"):
        start(plan(data, tmp_path / "run", objective=Preference()), say=silent)
    frames = type("F", (), {"task_numbers": np.zeros(2, int), "episode": np.array([0, 1])})
    with pytest.raises(ConfigError, match="nothing to prefer"):
        Preference().rows(frames, np.arange(2), np.zeros(2))  # type: ignore[arg-type]
