"""The folder of a study: demonstrations, caches, trained networks, one file for each cell.

What is there is not made again, so that a study goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.dataset import AugmentConfig
from arfm_ros.learn.data.frames import load_frames
from arfm_ros.learn.loop.begin import Plan, frames_config, start
from arfm_ros.learn.loop.checkpoint import NAME, Checkpoint, load_checkpoint
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import ModelConfig
from arfm_ros.learn.objectives.flow_loss import FlowConfig
from arfm_ros.learn.objectives.objective import make_objective
from arfm_ros.learn.signals.rl_signal import Reward, SignalConfig
from arfm_ros.sim.expert.quality import quality
from arfm_ros.sim.record.batch import Batch, note_command, record_batch
from arfm_ros.sim.record.demos import DemoOptions
from arfm_ros.study import worlds
from arfm_ros.study.blind import BLIND
from arfm_ros.study.experiments import PLAIN, POOL, QUALITIES, REPLAYED, Row, Sizes, Stage

SIZES = "sizes.json"
SIGNAL = SignalConfig(Reward(success=1.0, takeover=0.0))
USUAL = {"qualities": QUALITIES, "batch": 0, "drawn": False}  # of a stage, of a row


def _told(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out what is as usual: what is on disk has no word of it."""
    return {n: value for n, value in pairs if n not in USUAL or value != USUAL[n]}


@dataclass(frozen=True, slots=True)
class Training:
    """One training run; two studies that need the same one share it."""

    stage: Stage
    row: Row
    seed: int
    after: Training | None = None  # whose weights it begins with

    @property
    def key(self) -> str:
        """Name of its folder: the tasks, the row, the seed, and a hash of all before it."""
        whole = json.dumps(asdict(self, dict_factory=_told), sort_keys=True).encode()
        words = (*self.stage.tasks, self.row.objective, str(self.seed))
        return "_".join((*words, hashlib.sha256(whole).hexdigest()[:8]))


@dataclass(frozen=True, slots=True)
class Lab:
    """Makes and finds what lies below `root`."""

    root: Path
    sizes: Sizes
    eyes: Path | None = None  # bundle whose camera encoders all policies keep; None: no images
    world: str = ""  # another environment than the simulated table

    @property
    def pixels(self) -> bool:
        """Whether the policies see camera images."""
        return self.eyes is not None

    @property
    def _model(self) -> ModelConfig:
        return ModelConfig() if self.pixels else BLIND

    def run(self, training: Training) -> Path:
        """Return the run folder of a training."""
        return self.root / "runs" / training.key

    def open(self) -> None:
        """Note sizes and eyes. Raises `ConfigError` naming what the folder has otherwise.

        How many episodes are measured may differ from study to study, and grow.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        path, wanted = self.root / SIZES, asdict(self.sizes)
        del wanted["episodes"]
        wanted["eyes"] = self.eyes and self.eyes.name
        found = json.loads(path.read_text()) if path.exists() else wanted
        other = [f"{k} {found.get(k)}, not {v}" for k, v in wanted.items() if found.get(k) != v]
        if other:
            raise ConfigError(f"{self.root} holds a study of other sizes: {'; '.join(other)}")
        path.write_text(json.dumps(wanted, indent=1) + "\n")

    def record(self, tasks: tuple[str, ...], qualities: tuple[str, ...], workers: int) -> None:
        """Record the demonstrations that are missing."""
        each = _pool(qualities)
        for name in qualities:
            out = self.root / "demos" / name
            batch = Batch(tasks, each, 0, out, f"demo_{{task}}_{name}")
            if self.world:
                note_command(out, worlds.record(batch, self.world, name, workers))
                continue
            options = DemoOptions(quality=quality(name))
            words = " ".join(f"--task {task}" for task in tasks)
            command = f"./arfm demos {words} --episodes {each} --quality {name}"
            if not self.pixels:
                options, command = replace(options, cameras=()), f"{command} --no-images"
            note_command(out, command)
            if any(not folder.exists() for _, _, folder in batch.jobs()):
                record_batch(batch, options, workers)

    def episodes(self, stage: Stage, seed: int) -> tuple[Path, ...]:
        """Choose the demonstrations of a stage; fewer than all are drawn by the seed."""
        draw = partial(self._draw, qualities=stage.qualities, seed=seed)
        own = draw(stage.tasks, stage.demonstrations)
        return own + draw(stage.replayed, REPLAYED)

    def _draw(
        self, tasks: tuple[str, ...], count: int, qualities: tuple[str, ...], seed: int
    ) -> tuple[Path, ...]:
        pool = _pool(qualities)
        each = count // len(qualities) or pool
        chosen = np.random.default_rng([seed, 3]).permutation(pool)[:each]
        numbers = sorted(chosen) if count else range(pool)
        return tuple(
            self.root / "demos" / name / f"demo_{task}_{name}_{number:06d}"
            for task in tasks
            for name in qualities
            for number in numbers
        )

    def _statistics(self, stage: Stage) -> tuple[Path, ...]:
        return self.episodes(Stage(stage.normalised, qualities=stage.qualities), 0)

    def cache(self, training: Training) -> Path:
        """Return the folder of the frames of a training, read now if they were not before."""
        episodes = self.episodes(training.stage, training.seed)
        names = json.dumps([folder.name for folder in episodes]).encode()
        folder = self.root / "cache" / hashlib.sha256(names).hexdigest()[:12]
        if not self.world and not (folder / "frames.json").exists():
            # of another robot the training reads them: the start's, before all others
            load_frames(episodes, folder, frames_config(self._model))
        return folder

    def train(self, training: Training) -> Checkpoint:
        """Train, or go on with, or just open a run and those before it."""
        out = self.run(training)
        before = training.after
        steps = self.sizes.steps if before else self.sizes.start_steps
        resume = (out / NAME).exists()
        if resume and (found := load_checkpoint(out)).step >= steps:
            return found
        if before is not None:
            self.train(before)
        out.mkdir(parents=True, exist_ok=True)
        plan = Plan(
            data=self.episodes(training.stage, training.seed),
            out=out,
            train=self._config(training, steps),
            init=self.run(before) if before else self.eyes,
            resume=resume,
            new_velocity=before is None and self.pixels,
            statistics=self._statistics(training.stage) if before is None else (),
            model=self._model,
            cache=self.cache(training),
        )
        done = start(plan, say=lambda text: None)
        if done.step < steps:
            raise KeyboardInterrupt  # a signal ended the training early; its checkpoint is kept
        return done

    def _config(self, training: Training, steps: int) -> TrainConfig:
        sizes, row = self.sizes, training.row
        return TrainConfig(
            steps=steps,
            batch=row.batch or sizes.batch,
            seed=training.seed,
            threads=1,
            precision="auto" if self.pixels else "fp32",
            learning_rate=sizes.rate if training.after else sizes.start_rate,
            held_out=0.0,
            flow=FlowConfig(draws=sizes.draws),
            augment=AugmentConfig() if self.pixels else AugmentConfig(shift_px=0),
            freeze_vision=self.pixels,
            objective=make_objective(row.objective, **row.knobs),
            signal=replace(SIGNAL, **row.signal),
            drawn=row.drawn,
        )

    def log(self, training: Training) -> dict[str, float]:
        """Average what the run logged of its weights: alpha, effective sample size, ..."""
        path = self.run(training) / "log.jsonl"
        rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
        names = ("alpha", "clipped", "ess", "sigma_r", "sigma_l", "loss")
        found = {name: [row[name] for row in rows if name in row] for name in names}
        return {name: float(np.mean(values)) for name, values in found.items() if values}


def _pool(qualities: tuple[str, ...]) -> int:
    return POOL * len(QUALITIES) // len(qualities)


def start_of(stage: Stage) -> Training:
    """Make the training of plain flow matching that all rows of a study begin with."""
    return Training(replace(stage, measured=()), Row(PLAIN, "fm"), 0)


def write_json(path: Path, value: Any) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(value, indent=1) + "\n")
    draft.replace(path)
