"""Rows drawn by their weight: as often as they weigh, the same on every start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import learn_rig
import numpy as np
import pytest
import torch
from learn_rig import SMALL, plan, sampler_of, silent

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import draw_rows
from arfm_ros.learn.data.frames import Frames
from arfm_ros.learn.loop.begin import prepare, start
from arfm_ros.learn.loop.begun import drawn_by_weight
from arfm_ros.learn.loop.checkpoint import load_checkpoint, save_checkpoint
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.objectives.rwr import Rwr

data, frames = learn_rig.data, learn_rig.frames  # the fixtures


def test_a_row_is_drawn_as_often_as_it_weighs(frames: Frames, tmp_path: Path) -> None:
    sampler = sampler_of(frames, AugmentConfig())
    signal = np.random.default_rng(0).standard_normal(len(frames))
    config = TrainConfig(steps=1, batch=8, objective=Rwr(beta=1.0), drawn=True)
    chosen = drawn_by_weight(
        replace(sampler, signal=signal), FlowPolicy(SMALL), config, tmp_path, False
    )
    own = signal[sampler.rows]
    z = (own - own.mean()) / own.std()
    assert chosen.chance is not None
    assert np.allclose(chosen.chance, np.exp(z) / np.exp(z).sum(), rtol=1e-6)
    of = (chosen.rows, 64, chosen.seed)
    seen = np.concatenate([draw_rows(*of, step, chosen.chance) for step in range(400)])
    often = np.array([(seen == row).mean() for row in sampler.rows])
    assert np.abs(often - chosen.chance).max() < 4 * np.sqrt(chosen.chance.max() / len(seen))
    again = drawn_by_weight(
        replace(sampler, signal=-signal), FlowPolicy(SMALL), config, tmp_path, True
    )
    assert np.array_equal(again.chance, chosen.chance)  # a resumed run


def test_a_run_goes_on_as_if_it_had_not_been_stopped(data: Path, tmp_path: Path) -> None:
    options = {"objective": Arfm(alpha_min=1.0), "steps": 4, "drawn": True}
    start(plan(data, tmp_path / "all", **options), say=silent)
    cut = plan(data, tmp_path / "cut", **options)
    trainer, run = prepare(cut, "", silent)
    info = trainer.step()
    assert "alpha" not in info  # each row counts the same
    trainer.step()
    save_checkpoint(trainer.checkpoint(run.provenance, {}), cut.out)
    start(replace(cut, resume=True), say=silent)
    ends = [load_checkpoint(tmp_path / name).model for name in ("all", "cut")]
    assert all(torch.equal(v, ends[1][k]) for k, v in ends[0].items())


def test_an_objective_that_weighs_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--drawn needs an objective that weighs .*, not fm"):
        start(plan(data, tmp_path, objective=PlainFm(), drawn=True), say=silent)
