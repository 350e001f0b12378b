"""Numbers that a person gives: finite, within what they mean, else one line."""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Iterator
from typing import Any

import pytest

from arfm_ros.cli.__main__ import Parser, verbs
from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.flow_loss import FlowConfig
from arfm_ros.learn.objectives.objective import make_objective
from arfm_ros.learn.signals.rl_signal import parse_reward
from arfm_ros.learn.signals.source import parse_source


def floats(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, Any]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from floats(below)
        elif action.type is float:
            yield parser, action


def verbs_floats() -> Iterator[tuple[argparse.ArgumentParser, Any]]:
    for verb in verbs():
        parser = Parser(prog=verb)
        importlib.import_module(f"arfm_ros.cli.{verb}").add_arguments(parser)
        yield from floats(parser)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "half"])
def test_no_verb_takes_a_number_that_is_none(text: str) -> None:
    found = list(verbs_floats())
    assert len(found) > 25
    for owner, action in found:
        assert owner._get_value(action, "0.5") == 0.5
        with pytest.raises(argparse.ArgumentError, match=f"'{text}', needs a finite"):
            owner._get_value(action, text)


@pytest.mark.parametrize("text", ["success=nan", "progress=inf", "success=1,progress=-inf"])
def test_a_reward_has_finite_weights(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a finite number"):
        parse_reward(text)


def test_a_signal_has_finite_knobs() -> None:
    with pytest.raises(ConfigError, match="discount needs a finite number, got 'nan'"):
        parse_source("time_to_success:discount=nan")


@pytest.mark.parametrize(
    "knob,value",
    [("batch", 0), ("threads", -1), ("outlier", -1.0), ("learning_rate", 0.0)]
    + [("learning_rate", math.nan)],
)
def test_a_training_refuses_what_it_cannot_do(knob: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{knob} {value}"):
        TrainConfig(steps=1, **{knob: value})


@pytest.mark.parametrize(
    "name,knob",
    [
        ("arfm", "lam"),
        ("arfm", "alpha_max"),
        ("arfm", "ess_min"),
        ("rwr", "beta"),
        ("filtered_signal", "quantile"),
        ("advantage", "guidance"),
        ("preference", "margin"),
        ("return", "quantile"),
    ],
)
def test_no_objective_takes_nan_for_a_knob(name: str, knob: str) -> None:
    with pytest.raises(ConfigError, match="nan"):
        make_objective(name, **{knob: math.nan})


def test_noise_and_changes_are_counted_from_nothing_upwards() -> None:
    with pytest.raises(ConfigError, match="draws 0: needs 1 or more"):
        FlowConfig(draws=0)
    with pytest.raises(ConfigError, match="shift_px -2: needs 0 or more"):
        AugmentConfig(shift_px=-2)
    with pytest.raises(ConfigError, match="lambda inf"):
        Arfm(lam=math.inf)
