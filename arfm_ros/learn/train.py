"""Training loop: flow matching with an averaged copy of the weights, resumable at any step."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.checkpoint import Checkpoint, save_checkpoint
from arfm_ros.learn.dataset import AugmentConfig, Sampler
from arfm_ros.learn.flow_loss import FlowConfig, flow_loss
from arfm_ros.learn.log import RunLog, line
from arfm_ros.learn.model import FlowPolicy
from arfm_ros.learn.objective import Objective
from arfm_ros.learn.plain_fm import PlainFm
from arfm_ros.learn.replicas import Part, Replicas
from arfm_ros.learn.rl_signal import SignalConfig
from arfm_ros.learn.validate import pick_rows, validate


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What a training run does; one of `minutes` and `steps` ends it."""

    minutes: float = 0.0
    steps: int = 0
    batch: int = 128
    seed: int = 0
    threads: int = 2
    learning_rate: float = 8e-4
    warm_up: float = 0.03  # of the whole run
    weight_decay: float = 0.01
    clip: float = 1.0
    keyframe_weight: float = 0.2  # auxiliary loss: the arm at the next gripper switch
    average: float = 0.999
    precision: str = "auto"  # auto, bf16, fp32
    held_out: float = 0.05
    validation_rows: int = 256
    save_every_s: float = 120.0
    log_every_s: float = 10.0
    flow: FlowConfig = field(default_factory=FlowConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    objective: Objective = PlainFm()
    signal: SignalConfig = SignalConfig()  # R*, where the objective needs it

    def __post_init__(self) -> None:
        if (self.minutes > 0) == (self.steps > 0):
            raise ConfigError("give either --minutes or --steps, positive")
        if self.precision not in {"auto", "bf16", "fp32"}:
            raise ConfigError(f"precision '{self.precision}', needs one of auto, bf16, fp32")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Fraction of the run that is done."""
        return step / self.steps if self.steps else elapsed_s / (60 * self.minutes)

    def rate(self, progress: float) -> float:
        """Learning rate: linear warm-up, then a cosine down to a hundredth."""
        if progress < self.warm_up:
            return self.learning_rate * (0.01 + progress / self.warm_up)
        done = min(1.0, (progress - self.warm_up) / (1 - self.warm_up))
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def use_precision(model: FlowPolicy, precision: str) -> str:
    """Let the network's heavy layers run in bfloat16 where the processor has it."""
    if precision == "auto":
        cpuinfo = Path("/proc/cpuinfo")
        flags = cpuinfo.read_text() if cpuinfo.exists() else ""
        precision = "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"
    if precision == "bf16":
        model.precision = partial(torch.autocast, "cpu", torch.bfloat16)
    return precision


class Trainer:
    """Holds the state of a run; `step` advances it, `checkpoint` freezes it."""

    def __init__(self, model: FlowPolicy, sampler: Sampler, config: TrainConfig) -> None:
        self.model, self.sampler, self.config = model, sampler, config
        self.step_count, self.elapsed_s = 0, 0.0
        self.precision = use_precision(model, config.precision)
        self.replicas = Replicas(model, config.threads)
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1]},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, config.learning_rate, (0.9, 0.95), weight_decay=config.weight_decay, fused=True
        )

    def restore(self, saved: Checkpoint) -> None:
        """Continue exactly where `saved` was."""
        self.model.load_state_dict(saved.model)
        self.average = {k: v.clone() for k, v in saved.average.items()}
        self.optimiser.load_state_dict(saved.optimiser)
        self.step_count, self.elapsed_s = saved.step, saved.elapsed_s

    def checkpoint(self, provenance: dict[str, Any], validation: dict[str, float]) -> Checkpoint:
        """Freeze the state."""
        return Checkpoint(
            model=self.model.state_dict(),
            average=self.average,
            optimiser=self.optimiser.state_dict(),
            config=self.model.config,
            spec=self.sampler.spec,
            step=self.step_count,
            elapsed_s=self.elapsed_s,
            provenance=provenance,
            validation=validation,
        )

    def loss(self, model: FlowPolicy, share: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean flow-matching loss of a share of the step's batch plus the keyframe loss."""
        part = self.forward(model, share)
        return part.losses.mean() + part.other, part.info

    def forward(self, model: FlowPolicy, share: int) -> Part:
        """Flow-matching losses of a share of the step's batch, and the auxiliary keyframe loss."""
        count, config = len(self.replicas.models), self.config
        index = self.step_count * count + share
        batch = self.sampler.batch(index, max(1, config.batch // count))
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + index)
        wanted = config.objective.condition(batch.signal)
        context, keyframe = model.encode(batch.images, batch.state, batch.tokens, wanted)
        per_sample, info = flow_loss(model, context, batch.actions, config.flow, rng)
        ahead = (keyframe - batch.keyframe).square().mean()
        values = {k: float(v) for k, v in info.items()} | {"keyframe": float(ahead.detach())}
        return Part(per_sample, config.keyframe_weight * ahead, batch.signal, values)

    def step(self) -> dict[str, float]:
        """Take one optimiser step; its randomness depends on the seed and the step only."""
        began = time.monotonic()
        config = self.config
        rate = config.rate(config.progress(self.step_count, self.elapsed_s))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if config.objective.needs_signal:
            infos = self.replicas.batch_gradients(self.forward, config.objective.loss)
        else:
            infos = self.replicas.gradients(self.loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimiser.step()
        self._update_average()
        self.step_count += 1
        self.elapsed_s += time.monotonic() - began
        info = {name: sum(i[name] for i in infos) / len(infos) for name in infos[0]}
        return info | {"lr": rate}

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.config.average, (1 + self.step_count) / (10 + self.step_count))
        state = self.model.state_dict()
        torch._foreach_lerp_(list(self.average.values()), list(state.values()), 1 - keep)

    @property
    def done(self) -> bool:
        """Whether the budget is spent."""
        return self.config.progress(self.step_count, self.elapsed_s) >= 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Where a run writes, what it is validated on and what its checkpoints say of their origin."""

    folder: Path
    held: Sampler
    provenance: dict[str, Any]
    say: Callable[[str], None] = print


def train(trainer: Trainer, run: Run) -> Checkpoint:
    """Train until the budget is spent or SIGTERM or SIGINT asks to stop; always leaves a file."""
    stop = _stop_on_signal()
    log = RunLog(run.folder, run.say)
    run.say("training; SIGTERM or Ctrl-C saves and stops")
    config = trainer.config
    averaged = FlowPolicy(trainer.model.config).eval()
    rows = pick_rows(run.held.rows, config.validation_rows)
    saved = logged = time.monotonic()
    seen, totals = 0, {}
    while not trainer.done and not stop.is_set():
        info = trainer.step()
        seen += 1
        totals = {k: totals.get(k, 0.0) + v for k, v in info.items()}
        now = time.monotonic()
        if now - logged >= config.log_every_s:
            means = {k: v / seen for k, v in totals.items()}
            _report(trainer, log, means, seen / (now - logged))
            seen, totals, logged = 0, {}, now
        if now - saved >= config.save_every_s:
            _save(trainer, run, log, averaged, rows)
            saved = time.monotonic()
    checkpoint = _save(trainer, run, log, averaged, rows)
    log.close()
    run.say(f"{'stopped' if stop.is_set() else 'done'} after {trainer.step_count} steps")
    return checkpoint


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
    return stop


def _save(trainer: Trainer, run: Run, log: RunLog, averaged: FlowPolicy, rows: Any) -> Checkpoint:
    averaged.load_state_dict(trainer.average)
    values = validate(averaged, run.held, rows) if len(rows) else {}
    checkpoint = trainer.checkpoint(run.provenance, values)
    save_checkpoint(checkpoint, run.folder)
    text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
    run.say(f"  saved step {trainer.step_count}  {text}")
    log.write({"step": trainer.step_count, "elapsed_s": trainer.elapsed_s} | values)
    return checkpoint


def _report(trainer: Trainer, log: RunLog, means: dict[str, float], steps_per_s: float) -> None:
    done = trainer.config.progress(trainer.step_count, trainer.elapsed_s)
    speed = steps_per_s * min(trainer.config.batch, len(trainer.sampler.rows))
    log.say(
        f"  {100 * done:5.1f} %  {trainer.elapsed_s / 60:6.1f} min  step {trainer.step_count:6d}  "
        f"{line(means)}  {speed:.0f} samples/s"
    )
    row = {"step": trainer.step_count, "elapsed_s": trainer.elapsed_s, "samples_s": speed} | means
    log.write(row)
