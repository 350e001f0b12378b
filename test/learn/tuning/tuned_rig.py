"""A checkpoint that is fine-tuned, in this process or by torchrun, and laws that all keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import learn_rig
import numpy as np
import torch
from safetensors.torch import load_file

from arfm_ros.cli.__main__ import main
from arfm_ros.export.vla.interface import read_interface
from arfm_ros.learn.objectives.arfm import Arfm
from arfm_ros.learn.tuning.policy import TunedPolicy
from arfm_ros.learn.tuning.saved import read_progress, save
from arfm_ros.learn.tuning.trial import Held
from arfm_ros.learn.tuning.tune import POLICIES, Job, gather
from arfm_ros.learn.tuning.tuner import TuneConfig, Tuner

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@dataclass(frozen=True)
class Given:
    """A checkpoint, its interface file and episodes, in a folder with a script that trains."""

    library: str
    kind: str
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def interface(self) -> Path:
        return self.folder / "robot.yaml"

    @property
    def episodes(self) -> Path:
        return self.folder / "episodes"

    def policy(self, **options: Any) -> TunedPolicy:
        config = TuneConfig(1, **options)
        robot = read_interface(self.interface)
        return POLICIES[self.library](self.checkpoint, robot, config.part, config.adapter)

    def train_here(self, out: Path, *more: str) -> int:
        words = [str(self.episodes), "--policy", f"{self.library}:{self.checkpoint}"]
        words += ["--out", str(out), "--interface", str(self.interface), "--device", "cpu"]
        return main(["train", *words, "--batch", "8", *more])

    def tuner(self, out: Path, **options: Any) -> Tuner:
        config = TuneConfig(**{"steps": 4, "batch": 8, "device": "cpu", **options})
        policy = self.policy(part=config.part, adapter=config.adapter)
        robot = read_interface(self.interface)
        job = Job(self.library, self.checkpoint, (self.episodes,), out, robot)
        batches, _ = gather(policy, job, config)
        return Tuner(policy, batches, config)

    def command(self, out: str, *more: str, processes: int = 1) -> list[str]:
        launch = TORCHRUN if processes == 2 else ()
        words = ["--policy", f"{self.library}:{self.checkpoint}", "--device", "cpu"]
        words += ["--interface", str(self.folder / "robot.yaml"), "--learning-rate", "1e-3"]
        words += ["--objective", "arfm", "--out", str(self.folder / out)]
        if "--precision" not in more:
            words += ["--precision", "fp32"]
        if "--batch" not in more:
            words += ["--batch", "8"]
        start = [sys.executable, *launch, str(self.folder / "child.py"), self.kind]
        return [*start, str(self.folder), str(self.folder / "episodes"), *words, *more]

    def run(self, out: str, *more: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
        command = self.command(out, *more, processes=processes)
        return subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=300, check=False
        )

    def train(self, out: str, *more: str, processes: int = 1) -> str:
        done = self.run(out, *more, processes=processes)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    def weights(self, out: str) -> dict[str, torch.Tensor]:
        return dict(load_file(self.last(out) / "model.safetensors"))

    def steps(self, out: str) -> list[dict[str, float]]:
        lines = (self.folder / out / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def last(self, out: str) -> Path:
        return self.folder / out / "checkpoints" / "last" / "pretrained_model"


def environment() -> dict[str, str]:
    places = [str(Path(learn_rig.__file__).parent), str(Path(__file__).parents[3])]
    path = os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


def weights(tuner: Tuner) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in tuner.policy.policy.named_parameters()}


def held_after_forward(one: Tuner) -> int:
    """Count the bytes that wait for the backward pass, beside the pictures."""
    prepared = one.policy.before(one.batches.raw(one.batches.drawn(0, 8)))
    with Held() as held:
        losses = one.policy.losses(prepared, 0)
    assert losses.requires_grad
    return held.bytes


def assert_pieces_give_the_gradient_of_the_whole(given: Given, tmp_path: Path) -> None:
    whole = given.tuner(tmp_path, objective=Arfm(), precision="fp32")
    cut = given.tuner(tmp_path, objective=Arfm(), piece=3, precision="fp32")
    rows = whole.batches.drawn(0, 8)
    told, again = (one._gradients(rows) for one in (whole, cut))  # noqa: SLF001
    assert told.keys() == again.keys() and told["ess"] < 7.9
    np.testing.assert_allclose(list(told.values()), list(again.values()), rtol=1e-5)
    seen = 0
    for a, b in zip(whole.policy.learned, cut.policy.learned):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)
            seen += bool(a.grad.any())
    assert seen > 20


def assert_a_stopped_run_goes_on(given: Given, tmp_path: Path) -> None:
    one = given.tuner(tmp_path, steps=4, learning_rate=1e-3)
    for _ in range(4):
        one.step()
    two = given.tuner(tmp_path, steps=4, learning_rate=1e-3)
    two.step(), two.step()
    save(tmp_path / "run", two, {"options": {"seed": 0}})
    three = given.tuner(tmp_path, steps=4, learning_rate=1e-3)
    run, facts = tmp_path / "run", {"options": {"seed": 0}}
    three.step_count = read_progress(run, three.policy, three.optimiser, facts)
    three.step(), three.step()
    a, b = weights(one), weights(three)
    assert all(torch.equal(a[name], b[name]) for name in a)


def assert_activations_computed_again_change_no_gradient(
    given: Given, tmp_path: Path, share: float
) -> None:
    kept, again = (
        given.tuner(tmp_path, objective=Arfm(), precision="fp32", checkpointing=c)
        for c in (False, True)
    )
    rows = kept.batches.drawn(0, 8)
    for one in (kept, again):
        one._gradients(rows)  # noqa: SLF001
    for a, b in zip(kept.policy.learned, again.policy.learned):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)
    whole, less = (held_after_forward(one) for one in (kept, again))
    assert 0 < less < share * whole, f"{less} of {whole} bytes"


def assert_what_sees_does_not_learn_with_the_expert(
    given: Given, tmp_path: Path, sees: tuple[str, ...]
) -> None:
    one = given.tuner(tmp_path, part="expert", learning_rate=1e-3, steps=2)
    before = weights(one)
    one.step(), one.step()
    changed = {n for n, w in weights(one).items() if not torch.equal(w, before[n])}
    assert changed and not any(part in name for name in changed for part in sees)
