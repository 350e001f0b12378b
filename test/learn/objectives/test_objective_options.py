"""The options that choose an objective and its knobs, and what a run shows of it."""

from __future__ import annotations

import argparse

import pytest

from arfm_ros.cli import train as verb
from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.log import line
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.objectives.objective import make_objective
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.signals.rl_signal import SignalConfig, parse_reward


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(["demos", "--out", "run", "--steps", "3", *words])


def test_the_command_line_chooses_the_objective_and_its_knobs() -> None:
    words = ["--objective", "arfm", "--lambda", "0.01", "--alpha-min", "0", "--reward", "progress"]
    args = parse(*words)
    config = verb.train_config(args)
    assert config.objective == Arfm(lam=0.01, alpha_min=0.0)
    assert config.signal.reward == parse_reward("progress")
    text = verb.command(args)
    assert "--objective arfm --lambda 0.01 --alpha-min 0.0" in text
    plain = verb.train_config(parse())
    assert plain.objective == PlainFm() and plain.signal == SignalConfig()
    assert "objective" not in verb.command(parse()) and "seed" not in verb.command(parse())


def test_a_knob_of_another_objective_and_an_unknown_objective_are_refused() -> None:
    with pytest.raises(ConfigError, match="--lambda needs --objective arfm, not fm"):
        verb.train_config(parse("--lambda", "1"))
    with pytest.raises(ConfigError, match="needs one of fm, filtered_bc"):
        make_objective("ppo")
    with pytest.raises(ConfigError, match="does not take"):
        make_objective("rwr", lam=1.0)


def test_a_progress_line_shows_only_what_there_is() -> None:
    assert line({"loss": 0.5, "lr": 1.0}) == "loss 0.5000"
    assert line({"alpha": 0.25, "clipped": 0.5}) == "alpha 0.25  clipped 50%"
