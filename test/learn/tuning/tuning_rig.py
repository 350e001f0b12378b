"""Checkpoints of LeRobot's classes that are fine-tuned: in this process, or by torchrun."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lerobot_rig
import pytest
import torch
from learn_rig import write_episodes
from lerobot_rig import CLASSES, NEWER, save_checkpoint, write_interface
from safetensors.torch import load_file

from arfm_ros.export.vla.interface import read_interface
from arfm_ros.learn.lerobot.policy import TunedPolicy
from arfm_ros.learn.lerobot.tune import Job, gather
from arfm_ros.learn.lerobot.tuner import TuneConfig, Tuner

KINDS = [pytest.param("pi0", marks=NEWER), "smolvla"]
CHILD = """
import json
import sys
from pathlib import Path
import pytest
import torch
from lerobot_rig import shrink
torch.set_num_threads(1)
kind, folder = sys.argv[1], Path(sys.argv[2])
if kind in ("pi0", "pi05"):
    read = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    shrink(kind, folder, len(read["model"]["vocab"]), pytest.MonkeyPatch())
from arfm_ros.cli.__main__ import run
run(["train", *sys.argv[3:]])
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@dataclass(frozen=True)
class Given:
    """A checkpoint, its interface file and episodes, in a folder with a script that trains."""

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

    def tuner(self, out: Path, **options: Any) -> Tuner:
        config = TuneConfig(**{"steps": 4, "batch": 8, "device": "cpu", **options})
        robot = read_interface(self.interface)
        policy = TunedPolicy(self.checkpoint, robot, config.part, config.adapter)
        job = Job(self.checkpoint, (self.episodes,), out, robot)
        batches, _ = gather(policy, job, config)
        return Tuner(policy, batches, config)

    def command(self, out: str, *more: str, processes: int = 1) -> list[str]:
        launch = TORCHRUN if processes == 2 else ()
        words = ["--policy", f"lerobot:{self.folder / 'checkpoint'}", "--device", "cpu"]
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

    def opened(self, out: str) -> Any:
        """Let LeRobot read what a run left."""
        module = importlib.import_module(f"lerobot.policies.{self.kind}.modeling_{self.kind}")
        return getattr(module, CLASSES[self.kind][1]).from_pretrained(self.last(out))


def environment() -> dict[str, str]:
    places = [str(Path(lerobot_rig.__file__).parent), str(Path(__file__).parents[3])]
    path = os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


def make_given(kind: str, folder: Path) -> Iterator[Given]:
    """Write all of it; what the library fixes by name is small for as long as it is needed."""
    with pytest.MonkeyPatch.context() as patch:
        save_checkpoint(kind, folder, patch)
        write_interface(folder / "robot.yaml")
        write_episodes(folder / "episodes")
        (folder / "child.py").write_text(CHILD)
        yield Given(kind, folder)
