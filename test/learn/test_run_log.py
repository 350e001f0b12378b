"""What a run shows while it goes on: a bar on a terminal, values for TensorBoard."""

from __future__ import annotations

import io
import json
from pathlib import Path

import learn_rig
import pytest
from learn_rig import plan, silent
from rich.console import Console

from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.log import line
from arfm_ros.learn.loop.progress import Bar
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.signals.rl_signal import SignalConfig, parse_reward

data = learn_rig.data  # the fixture
ARFM = {"alpha", "clipped", "ess", "sigma_r", "sigma_l"}


def test_the_bar_shows_what_arfm_did_and_the_time_left() -> None:
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=120))
    values = {"loss": 0.5, "alpha": 0.25, "clipped": 0.5, "ess": 12.3, "sigma_r": 1.0}
    assert bar.shown and bar.due(0.0) and not bar.due(0.1)
    bar.show(0.25, 60.0, line(values | {"sigma_l": 0.04, "samples_s": 99.0, "waiting": 0.02}))
    bar.close()
    shown = screen.getvalue()
    assert "training" in shown and "25%" in shown and "0:03:00 left" in shown
    for text in ("alpha 0.25", "clipped 50%", "ess 12.3", "sigma_R 1", "sigma_L 0.04", "data 2%"):
        assert text in shown


def test_without_a_terminal_there_is_no_bar() -> None:
    screen = io.StringIO()
    bar = Bar(Console(file=screen))
    assert not bar.shown and not bar.due(1.0)
    bar.close()
    assert screen.getvalue() == ""


def test_tensorboard_reads_what_the_log_has(data: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reward = SignalConfig(parse_reward("success"))
    options = {"objective": Arfm(), "signal": reward, "log_every_s": 0.0}
    start(plan(data, tmp_path, steps=3, **options), say=silent)
    written = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert ARFM | {"loss", "keyframe", "val_loss"} <= set(written.Tags()["scalars"])
    rows = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    alpha = {row["step"]: row["alpha"] for row in rows if "alpha" in row}
    assert len(alpha) == 3
    for event in written.Scalars("alpha"):
        assert event.value == pytest.approx(alpha[event.step], rel=1e-6)
