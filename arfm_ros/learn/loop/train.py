"""Training step: flow matching with an averaged copy of the weights, a function of the step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.augment import AugmentConfig
from arfm_ros.learn.data.dataset import Batch, Sampler, Share
from arfm_ros.learn.data.loader import make_loader
from arfm_ros.learn.loop.checkpoint import Checkpoint
from arfm_ros.learn.loop.device import (
    DEVICES,
    PRECISIONS,
    autocast,
    choose_device,
    choose_precision,
    choose_threads,
)
from arfm_ros.learn.loop.group import ALONE, Group
from arfm_ros.learn.loop.replicas import Part, Replicas
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.objectives.distilled import Drawing, check_distilled, distilled_loss
from arfm_ros.learn.objectives.flow_loss import FlowConfig, flow_loss
from arfm_ros.learn.objectives.objective import Objective
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.signals.rl_signal import SignalConfig

OTHER_STREAM = 0x5BD1E995  # of random numbers than the noise and the times
LOWEST = 0.01  # of the highest learning rate


def warm_then_cosine(highest: float, progress: float, warm_up: float) -> float:
    """Return the rate at `progress` 0..1: linear warm-up, then a cosine down to a hundredth."""
    if progress < warm_up:
        return highest * (LOWEST + progress / warm_up)
    done = min(1.0, (progress - warm_up) / (1 - warm_up))
    return highest * (LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What a training run does; one of `minutes` and `steps` ends it."""

    minutes: float = 0.0
    steps: int = 0
    batch: int = 128
    seed: int = 0
    threads: int = 0  # shares of a process's part of the batch; 0: as the machine has it
    learning_rate: float = 8e-4
    warm_up: float = 0.03  # of the whole run
    weight_decay: float = 0.01
    clip: float = 1.0
    keyframe_weight: float = 0.2  # auxiliary loss: the arm at the next gripper switch
    average: float = 0.999
    freeze_vision: bool = False  # the camera encoders keep the weights they begin with
    device: str = "auto"
    precision: str = "auto"
    held_out: float = 0.05
    outlier: float = 20.0  # targets beyond that many standard deviations are left out; 0: none
    validation_rows: int = 256
    save_every_s: float = 120.0
    log_every_s: float = 10.0
    flow: FlowConfig = field(default_factory=FlowConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    objective: Objective = PlainFm()
    signal: SignalConfig = SignalConfig()  # R*, where the objective needs it
    distil: int = 0  # steps that learn to do what the policy begun with does in many; 0: none do
    drawn: bool = False  # rows are drawn by their weight, in place of drawn ones that are weighed

    def __post_init__(self) -> None:
        if (self.minutes > 0) == (self.steps > 0):
            raise ConfigError("give either --minutes or --steps, positive")
        for what, least in (("batch", 1), ("threads", 0), ("outlier", 0)):
            if getattr(self, what) < least:
                raise ConfigError(f"{what} {getattr(self, what)}: needs {least} or more")
        check_distilled(self.distil, self.objective.name)
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate {self.learning_rate}: needs a number above 0")
        for what, known in (("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, what) not in known:
                raise ConfigError(
                    f"{what} '{getattr(self, what)}', needs one of {', '.join(known)}"
                )

    def progress(self, step: int, elapsed_s: float) -> float:
        """Fraction of the run that is done."""
        return step / self.steps if self.steps else elapsed_s / (60 * self.minutes)

    def rate(self, progress: float) -> float:
        """Learning rate: linear warm-up, then a cosine down to a hundredth."""
        return warm_then_cosine(self.learning_rate, progress, self.warm_up)


class Trainer:
    """Holds the state of a run; `step` advances it, `checkpoint` freezes it."""

    def __init__(
        self,
        model: FlowPolicy,
        sampler: Sampler,
        config: TrainConfig,
        group: Group = ALONE,
        reference: FlowPolicy | None = None,
    ) -> None:
        self.sampler, self.config, self.group = sampler, config, group
        self.step_count, self.elapsed_s = 0, 0.0
        self.objective = knowing(config.objective, sampler)
        self.device = choose_device(config.device, group)
        self.loader = make_loader(sampler, config.batch, self.device)
        self.precision = choose_precision(config.precision, self.device)
        self.model = model.to(self.device)
        if config.distil:
            model.freeze_prefix()
        elif config.freeze_vision:
            model.freeze_vision()
        model.precision = autocast(self.precision, self.device)
        self.reference = _frozen(reference, self.device, model.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        threads = choose_threads(config.threads, self.device, group)
        self.replicas = Replicas(model, threads, group, self.scaler)
        for share in self.replicas.shares:
            share.size(config.batch, len(sampler.rows))
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        learned = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learned if p.ndim > 1]},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            groups, config.learning_rate, (0.9, 0.95), weight_decay=config.weight_decay, fused=True
        )

    def restore(self, saved: Checkpoint) -> None:
        """Continue exactly where `saved` was."""
        self.model.load_state_dict(saved.model)
        self.average = {k: v.to(self.device, copy=True) for k, v in saved.average.items()}
        self.optimiser.load_state_dict(saved.optimiser)
        self.scaler.load_state_dict(saved.scaler)
        self.step_count, self.elapsed_s = saved.step, saved.elapsed_s

    def checkpoint(self, provenance: dict[str, Any], validation: dict[str, float]) -> Checkpoint:
        """Freeze the state."""
        return Checkpoint(
            model=self.model.state_dict(),
            average=self.average,
            optimiser=self.optimiser.state_dict(),
            scaler=self.scaler.state_dict(),
            config=self.model.config,
            spec=self.sampler.spec,
            step=self.step_count,
            elapsed_s=self.elapsed_s,
            provenance=provenance,
            validation=validation,
        )

    def forward(self, model: FlowPolicy, share: Share) -> Part:
        """Flow-matching losses of a share of the step's batch, and the auxiliary keyframe loss."""
        began, config = time.monotonic(), self.config
        batch = self.loader.batch(self.step_count, share)
        waited_s = time.monotonic() - began
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step_count)
        wanted = self.objective.condition(batch.signal, self._drawn(len(batch.signal), share))
        context, keyframe = model.encode(batch.images, batch.state, batch.tokens, wanted)
        drawing = Drawing(config.flow, rng, share)
        if config.distil:
            assert self.reference is not None  # the teacher
            seen = context, batch.actions
            per_sample, info = distilled_loss(model, self.reference, *seen, config.distil, drawing)
        else:
            per_sample, info = flow_loss(model, context, batch.actions, *drawing)
            if self.reference is not None:
                per_sample = per_sample - self._before(self.reference, batch, share)
        ahead = (keyframe - batch.keyframe).square().mean(dim=1)
        values = {k: float(v) for k, v in info.items()}
        values |= {"keyframe": float(ahead.detach().mean()), "waited_s": waited_s}
        other = config.keyframe_weight * ahead
        return Part(per_sample, other, batch.signal, batch.task, values)

    @torch.no_grad()
    def _before(self, reference: FlowPolicy, batch: Batch, share: Share) -> Tensor:
        """Compute the losses of the policy that was begun with, of the same noise and times."""
        rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step_count)
        context, _ = reference.encode(batch.images, batch.state, batch.tokens)
        return flow_loss(reference, context, batch.actions, self.config.flow, rng, share)[0]

    def _drawn(self, size: int, share: Share) -> Tensor:
        """Draw a number in 0..1 for each sample of a share, of a stream of its own."""
        seed = (self.config.seed * 1_000_003 + self.step_count) ^ OTHER_STREAM
        rng = torch.Generator().manual_seed(seed)
        return share.of(torch.rand(share.count * size, generator=rng))

    def step(self) -> dict[str, float]:
        """Take one optimiser step; its randomness depends on the seed and the step only."""
        began = time.monotonic()
        config = self.config
        rate = config.rate(config.progress(self.step_count, self.elapsed_s))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        weighs = self.objective.needs_signal and not config.drawn
        loss = self.objective.loss if weighs else None
        infos = self.replicas.gradients(self.forward, loss)
        self.scaler.unscale_(self.optimiser)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self._update_average()
        self.step_count += 1
        took_s = time.monotonic() - began
        self.elapsed_s += took_s
        info = {name: sum(i[name] for i in infos) / len(infos) for name in infos[0]}
        return info | {"lr": rate, "waiting": info.pop("waited_s") / took_s}

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.config.average, (1 + self.step_count) / (10 + self.step_count))
        state = self.model.state_dict()
        torch._foreach_lerp_(list(self.average.values()), list(state.values()), 1 - keep)

    @property
    def done(self) -> bool:
        """Whether the budget is spent."""
        return self.config.progress(self.step_count, self.elapsed_s) >= 1.0


def knowing(objective: Objective, sampler: Sampler) -> Objective:
    """Let an objective know all that a sampler's rows hold."""
    if sampler.signal is None or not objective.needs_signal:
        return objective
    tasks = sampler.frames.task_numbers[sampler.frames.episode[sampler.rows]]
    return objective.over(torch.from_numpy(sampler.signal[sampler.rows]), torch.from_numpy(tasks))


def _frozen(
    reference: FlowPolicy | None, device: torch.device, precision: Any
) -> FlowPolicy | None:
    """Make a policy one that nothing changes; it computes as the one that learns."""
    if reference is None:
        return None
    reference.precision = precision
    return reference.to(device).eval().requires_grad_(False)
