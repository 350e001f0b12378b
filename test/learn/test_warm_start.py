"""What a policy of another robot gives a new one to begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learn_rig import SMALL, exported, plan

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.begin import prepare
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.model.warm_start import warm_start


def test_what_fits_is_taken_and_the_layers_of_another_robot_begin_anew() -> None:
    given = FlowPolicy(SMALL)
    own = FlowPolicy(replace(SMALL, state=7, actions=7))
    fresh = {name: value.clone() for name, value in own.state_dict().items()}

    said = warm_start(own, given.state_dict())

    for name, value in own.state_dict().items():
        before = given.state_dict()[name]
        fits = before.shape == value.shape
        assert torch.equal(value, before if fits else fresh[name]), name
    assert "state" in said
    assert "cameras" not in said


def test_eyes_of_another_size_are_refused() -> None:
    other = FlowPolicy(replace(SMALL, cameras=(("ceiling", 32, 32),)))
    with pytest.raises(ConfigError, match="same names and sizes"):
        warm_start(FlowPolicy(SMALL), other.state_dict())


def test_a_run_begins_with_what_a_bundle_sees_and_its_card_says_so(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, bundle = exported(tmp_path_factory)
    task = replace(plan(run.parent / "data", tmp_path, steps=1), warm_start=bundle)
    said: list[str] = []

    trainer, made = prepare(task, "train", said.append)

    assert any("of the weights are given" in line for line in said)
    assert made.provenance["started_from"]["bundle"]
    assert trainer.model.config == SMALL
