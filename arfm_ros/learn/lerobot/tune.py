"""Fine-tune a policy of LeRobot on recorded episodes with any objective and signal.

Losses of a batch are weighed as one batch, however it is cut: where it is cut into pieces that fit
into memory, the losses are computed first without gradients, then each piece again with its share
of the weights. Noise and times are a function of the seed and the step, so both are of the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.export.vla.interface import Interface
from arfm_ros.learn.data.dataset import split_episodes
from arfm_ros.learn.data.frames import Frames, load_frames
from arfm_ros.learn.lerobot.batches import Batches, frames_config
from arfm_ros.learn.lerobot.budget import require_memory
from arfm_ros.learn.lerobot.policy import WHOLE, Adapter, TunedPolicy
from arfm_ros.learn.lerobot.saved import read_progress, save
from arfm_ros.learn.loop.device import autocast, choose_device, choose_precision
from arfm_ros.learn.loop.group import ALONE
from arfm_ros.learn.loop.train import warm_then_cosine
from arfm_ros.learn.objectives.objective import Objective
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.signals.rl_signal import SignalConfig, make_signal

VALIDATED, SEED_STEP = 64, 1_000_003
LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """What a fine-tuning does."""

    steps: int
    batch: int = 32
    piece: int = 0  # samples of a batch that are in memory at once; 0: all
    seed: int = 0
    learning_rate: float = 2.5e-5  # LeRobot's for pi0
    warm_up: float = 0.03  # of the whole run
    weight_decay: float = 0.01
    clip: float = 1.0
    part: str = WHOLE  # what learns
    adapter: Adapter = Adapter()
    checkpointing: bool = False  # activations are computed again instead of kept
    device: str = "auto"
    precision: str = "auto"
    held_out: float = 0.05
    save_every: int = 1000  # steps
    objective: Objective = field(default_factory=PlainFm)
    signal: SignalConfig = SignalConfig()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.piece < 0 or self.save_every < 1:
            raise ConfigError(
                f"--steps {self.steps}, --batch {self.batch}, --piece {self.piece}: need 1 or "
                "more (--piece 0: the whole batch)"
            )
        if self.objective.conditioned or self.objective.needs_reference:
            raise ConfigError(
                f"objective {self.objective.name} needs an input or a reference that LeRobot's "
                "policies do not have: fm, filtered_bc, filtered, rwr, arfm"
            )


class Tuner:
    """Holds the state of a fine-tuning; `step` advances it."""

    def __init__(self, policy: TunedPolicy, batches: Batches, config: TuneConfig) -> None:
        self.policy, self.batches, self.config = policy, batches, config
        self.device = choose_device(config.device, ALONE)
        self.precision = choose_precision(config.precision, self.device)
        self.autocast = autocast(self.precision, self.device)
        policy.policy.to(self.device).train()
        if config.checkpointing:
            _checkpoint_activations(policy.policy)
        self.step_count = 0
        self.optimiser = torch.optim.AdamW(
            policy.learned, config.learning_rate, (0.9, 0.95), weight_decay=config.weight_decay
        )

    def step(self) -> dict[str, float]:
        """Take one step of the optimiser."""
        config, number = self.config, self.step_count
        rate = warm_then_cosine(config.learning_rate, number / config.steps, config.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        rows = self.batches.drawn(number, config.batch)
        pieces = self._pieces(rows)
        self.optimiser.zero_grad(set_to_none=True)
        info = self._gradients(rows, pieces)
        torch.nn.utils.clip_grad_norm_(self.policy.learned, config.clip)
        self.optimiser.step()
        self.step_count += 1
        return info | {"lr": rate}

    def _pieces(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        size = self.config.piece or len(rows)
        return [rows[begin : begin + size] for begin in range(0, len(rows), size)]

    def _gradients(
        self, rows: NDArray[np.int64], pieces: list[NDArray[np.int64]]
    ) -> dict[str, float]:
        signal, task = self.batches.told(rows)
        if len(pieces) == 1:
            losses = self._losses(rows, 0)
            loss, info = self._weighed(losses, signal, task)
            loss.backward()
            return info | {"loss": float(losses.detach().mean())}
        with torch.no_grad():
            losses = torch.cat([self._losses(piece, i) for i, piece in enumerate(pieces)])
        weights, info = self._weights(losses, signal, task)
        begin = 0
        for i, piece in enumerate(pieces):
            share = weights[begin : begin + len(piece)]
            (share * self._losses(piece, i)).sum().backward()
            begin += len(piece)
        return info | {"loss": float(losses.mean())}

    def _weighed(
        self, losses: Tensor, signal: Tensor, task: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        weights, info = self._weights(losses.detach(), signal, task)
        return (weights * losses).sum(), info

    def _weights(
        self, losses: Tensor, signal: Tensor, task: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples of a whole batch [B]; they sum to 1."""
        objective = self.config.objective
        if not objective.needs_signal:
            return torch.full_like(losses, 1 / len(losses)), {}
        weights, info = objective.weights(losses.double().cpu(), signal, task)
        return weights.to(losses), info

    def _losses(self, rows: NDArray[np.int64], piece: int) -> Tensor:
        """Compute the losses [B] of rows; `piece` numbers them within the step."""
        prepared = self.policy.before(self.batches.raw(rows))
        there = {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in prepared.items()
        }
        seed = self.config.seed * SEED_STEP + self.step_count * 997 + piece
        with self.autocast():
            return self.policy.losses(there, seed).float()

    @torch.no_grad()
    def validate(self, rows: NDArray[np.int64]) -> float:
        """Compute the plain mean loss of held-out rows, of the same noise at every call."""
        if not len(rows):
            return float("nan")
        picked = rows[np.linspace(0, len(rows) - 1, min(VALIDATED, len(rows)), dtype=np.int64)]
        count, self.step_count = self.step_count, 0
        self.policy.policy.eval()
        try:
            found = [self._losses(piece, i) for i, piece in enumerate(self._pieces(picked))]
        finally:
            self.step_count = count
            self.policy.policy.train()
        return float(torch.cat(found).mean())


def _checkpoint_activations(policy: Any) -> None:
    enable = getattr(policy.model, "gradient_checkpointing_enable", None)
    if enable is None:
        raise ConfigError("--checkpointing: this policy of LeRobot does not offer it")
    enable()


@dataclass(frozen=True, slots=True)
class Job:
    """What is fine-tuned on what, and where it is left."""

    source: Path  # a checkpoint's folder
    data: tuple[Path, ...]  # with episodes
    out: Path
    robot: Interface
    resume: bool = False


def tune(job: Job, config: TuneConfig, say: Callable[[str], None] = print) -> Path:
    """Fine-tune a checkpoint on episodes; returns the folder of the last one.

    Checkpoints are OUT/checkpoints/STEP/pretrained_model, the newest is `last`, as LeRobot has
    them. Raises `ConfigError` for what does not fit.
    """
    if (job.out / "checkpoints").exists() and not job.resume:
        raise ConfigError(f"{job.out} holds a run: add --resume or choose another --out")
    policy = TunedPolicy(job.source, job.robot, config.part, config.adapter)
    require_memory(policy, config)
    batches, held = gather(policy, job, config, say)
    tuner = Tuner(policy, batches, config)
    told = _options(config)
    if job.resume:
        tuner.step_count = read_progress(job.out, policy, tuner.optimiser, told)
    say(
        f"{policy.made_by}: {_count(policy.learned)} of {_count(policy.policy.parameters())} "
        f"weights learn ({config.part}), {len(batches.rows)} observations, {tuner.device}, "
        f"{tuner.precision}"
    )
    spoke = time.monotonic()
    while tuner.step_count < config.steps:
        info = tuner.step()
        done = tuner.step_count
        if time.monotonic() - spoke > LOG_EVERY_S or done == config.steps:
            spoke = time.monotonic()
            say(f"step {done:6d}  " + "  ".join(f"{k} {v:.4g}" for k, v in info.items()))
        if done % config.save_every == 0 or done == config.steps:
            value = tuner.validate(held)
            save(job.out, policy, tuner.optimiser, done, told)
            say(f"saved step {done}  val_loss {value:.4f}")
    return job.out / "checkpoints" / "last" / "pretrained_model"


def _count(parameters: Iterable[Tensor]) -> str:
    return f"{sum(one.numel() for one in parameters) / 1e6:.2f} M"


def _options(config: TuneConfig) -> dict[str, Any]:
    told = asdict(config) | {"objective": config.objective.name}
    for free in ("save_every", "device", "piece", "checkpointing", "precision"):
        told.pop(free)
    return told


def gather(
    policy: TunedPolicy, job: Job, config: TuneConfig, say: Callable[[str], None] = print
) -> tuple[Batches, NDArray[np.int64]]:
    """Read the episodes; returns what is learned from, and the rows that are held out."""
    frames = load_frames(job.data, job.out / "cache", frames_config(job.robot, policy.horizon))
    rows, held = split_episodes(frames, config.held_out, config.seed)
    signal = _signal(frames, config, say)
    rows = config.objective.rows(frames, rows, signal)
    if not len(rows):
        raise ConfigError("no observation is learned from: see --objective and --signal")
    return Batches(frames, rows, policy.library.cameras, signal, config.seed), held


def _signal(frames: Frames, config: TuneConfig, say: Callable[[str], None]) -> NDArray[np.float64]:
    if not config.objective.needs_signal:
        return np.zeros(len(frames))
    found = make_signal(frames, config.signal)
    for note in found.notes:
        say(note)
    return found.values
