"""Runs that are stopped, killed, or find the disk full, and how they go on."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import learn_rig
import numpy as np
import pytest
import torch
from learn_rig import plan, silent

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.begin import start
from arfm_ros.learn.loop.checkpoint import NAME, load_checkpoint, save_checkpoint
from arfm_ros.learn.loop.diverged import Watch
from arfm_ros.learn.loop.train import Trainer

data, frames = learn_rig.data, learn_rig.frames  # the fixtures


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(data: Path, tmp_path: Path) -> None:
    whole = start(plan(data, tmp_path / "whole", steps=6), say=silent)
    half = plan(data, tmp_path / "half", steps=6)
    _stop_after(half, data, steps=3)
    resumed = start(replace(half, resume=True), say=silent)
    assert resumed.step == whole.step == 6
    for name, weight in whole.model.items():
        torch.testing.assert_close(resumed.model[name], weight, atol=0, rtol=0)


def test_resuming_before_there_is_a_checkpoint_begins(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    planned = replace(plan(data, tmp_path / "run", steps=2), resume=True)
    assert start(planned, say=said.append).step == 2
    assert "holds no checkpoint yet: beginning" in said[0]


def test_a_resumed_run_still_tells_what_it_started_from(data: Path, tmp_path: Path) -> None:
    start(plan(data, tmp_path / "a", steps=2), "first", silent)
    tuned = replace(plan(data, tmp_path / "b", steps=2), init=tmp_path / "a")
    start(tuned, say=silent)
    longer = replace(plan(data, tmp_path / "b", steps=3), resume=True)
    assert start(longer, say=silent).provenance["started_from"]["command"] == "first"


def test_signals_belong_again_to_who_had_them_before(data: Path, tmp_path: Path) -> None:
    names = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(name) for name in names]
    start(plan(data, tmp_path / "run", steps=1), say=silent)
    assert [signal.getsignal(name) for name in names] == before


def _stop_after(planned: object, data: Path, steps: int) -> None:
    """Take some steps of a planned run and save, as a signal would make it."""
    from arfm_ros.learn.loop import begin as session

    def halt(trainer: Trainer, run: object) -> object:
        for _ in range(steps):
            trainer.step()
        return save_checkpoint(trainer.checkpoint({}, {}), run.folder)  # type: ignore

    original, session.train = session.train, halt  # type: ignore
    try:
        session.start(planned, say=silent)  # type: ignore
    finally:
        session.train = original


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    data: Path, tmp_path: Path
) -> None:
    checkpoint = start(plan(data, tmp_path, steps=1), say=silent)
    before = (tmp_path / NAME).read_bytes()
    with disk_of(len(before) // 2):
        with pytest.raises(ConfigError, match="step 2 .*checkpoint before it is whole"):
            save_checkpoint(replace(checkpoint, step=2), tmp_path)
    assert (tmp_path / NAME).read_bytes() == before
    assert [p.name for p in tmp_path.glob("checkpoint*")] == [NAME]


def test_training_goes_on_while_the_disk_is_full_and_the_end_is_an_error(
    data: Path, tmp_path: Path
) -> None:
    start(plan(data, tmp_path, steps=1), say=silent)
    before, said = (tmp_path / NAME).read_bytes(), list[str]()
    longer = replace(plan(data, tmp_path, steps=3, save_every_s=0.0), resume=True)
    with disk_of(len(before) // 2), pytest.raises(ConfigError, match="cannot write step 3"):
        start(longer, say=said.append)
    failed = [text for text in said if "training goes on" in text]
    assert len(failed) == 2 and "step 2 " in failed[0]
    assert (tmp_path / NAME).read_bytes() == before
    assert start(longer, say=silent).step == 3


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_what_diverged_ends_and_what_was_saved_before_is_whole(
    data: Path, tmp_path: Path, rate: float
) -> None:
    planned = plan(data, tmp_path, steps=40, save_every_s=0.0, learning_rate=rate)
    with pytest.raises(ConfigError, match=r"diverged: .* lower --learning-rate \(now 1e\+"):
        start(planned, say=silent)
    assert not [*tmp_path.glob("*.new")]
    if (tmp_path / NAME).exists():
        kept = load_checkpoint(tmp_path).average.values()
        assert all(bool(weight.isfinite().all()) for weight in kept)


def test_one_loss_that_overflows_in_half_precision_is_forgiven() -> None:
    watch = Watch(1e-3, "fp16")
    for step, loss in enumerate([1.0, float("inf"), *[float("nan")] * 8, 1.0, float("nan")]):
        watch.took(step, loss)
    with pytest.raises(ConfigError, match="the loss of step 3 is inf"):
        Watch(1e-3, "bf16").took(3, float("inf"))


@contextmanager
def disk_of(size: int) -> Generator[None, None, None]:
    """Let no file grow beyond `size` bytes: the disk ends there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_sigterm_leaves_a_checkpoint(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arfm_ros.cli", "train", str(data), "--out", str(tmp_path)]
    options = ["--minutes", "10", "--batch", "2", "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command + options, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("training"):
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "stopped" in rest
    assert load_checkpoint(tmp_path).spec.instructions == {"lift": "lift the cube"}


RUN = """
import sys
from dataclasses import replace
from pathlib import Path
from learn_rig import plan, silent
from arfm_ros.learn.loop.begin import start
data, out = map(Path, sys.argv[1:])
start(replace(plan(data, out, steps=40, save_every_s=0.0), resume=True))
"""


@pytest.mark.slow
def test_whenever_it_is_killed_a_run_ends_as_if_it_had_not_been(
    data: Path, tmp_path: Path
) -> None:
    whole = start(plan(data, tmp_path / "whole", steps=40), say=silent)
    out, rng, kills = tmp_path / "killed", np.random.default_rng(0), 0
    command = [sys.executable, "-u", "-c", RUN, str(data), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out.mkdir()
    for moment in (*rng.integers(1, 12, 5), 10**6):  # lines it says before it is killed
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert process.stdout is not None
        lines = list(islice(process.stdout, int(moment)))
        kills += process.poll() is None
        process.kill()
        process.communicate(timeout=60)
    assert kills >= 5 and "done after 40 steps" in lines[-1], lines
    killed = load_checkpoint(out)
    assert killed.step == 40
    for name, weight in whole.model.items():
        torch.testing.assert_close(killed.model[name], weight, atol=0, rtol=0)
