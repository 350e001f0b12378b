"""Steps of a fine-tuning: the losses of a whole batch decide, however it is cut.

A batch is cut into a share for each process and into pieces that fit into memory. Losses are
gathered over all of them between forward and backward, so that an objective weighs one batch.
Where there are pieces, losses are computed first without gradients, then each piece again with its
share of the weights. Noise and times are a function of the seed, the step and a sample's place in
the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.dataset import Share
from arfm_ros.learn.loop.begun import BATCHES, DRAWN, chances, require_weights
from arfm_ros.learn.loop.device import autocast, choose_device, choose_precision
from arfm_ros.learn.loop.group import ALONE, Group
from arfm_ros.learn.loop.train import warm_then_cosine
from arfm_ros.learn.objectives.objective import Objective
from arfm_ros.learn.objectives.plain_fm import PlainFm
from arfm_ros.learn.signals.rl_signal import SignalConfig
from arfm_ros.learn.tuning.batches import Batches
from arfm_ros.learn.tuning.policy import WHOLE, Adapter, TunedPolicy
from arfm_ros.learn.tuning.trial import peak

VALIDATED, SEED_STEP = 64, 1_000_003


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
    drawn: bool = False  # observations are drawn by their weight, each then counting the same

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.piece < 0 or self.save_every < 1:
            raise ConfigError(
                f"--steps {self.steps}, --batch {self.batch}, --piece {self.piece}: need 1 or "
                "more (--piece 0: the whole batch)"
            )
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate {self.learning_rate}: needs a number above 0")
        if self.drawn:
            require_weights(self.objective)
        if self.objective.conditioned or self.objective.needs_reference:
            raise ConfigError(
                f"objective {self.objective.name} needs an input or a reference that policies "
                "of other libraries do not have: fm, filtered_bc, filtered, rwr, arfm"
            )


class Piece(NamedTuple):
    """Samples of a batch that are in memory at once."""

    rows: NDArray[np.int64]  # [b]
    begin: int  # place of the first in the batch of all processes
    of: int  # size of that batch


class Tuner:
    """Holds the state of a fine-tuning; `step` advances it."""

    def __init__(
        self, policy: TunedPolicy, batches: Batches, config: TuneConfig, group: Group = ALONE
    ) -> None:
        self.policy, self.batches, self.config, self.group = policy, batches, config, group
        self.share = Share(group.rank, group.size)
        self.batch = group.size * self.share.size(config.batch, len(batches.rows))
        self.device = choose_device(config.device, group)
        self.precision = precision_of(config, self.device)
        self.autocast = autocast(self.precision, self.device)
        if config.checkpointing:
            policy.recompute()
        self.sharding = policy.settle(self.device, group, self.precision)
        policy.policy.train()
        self.step_count = 0
        self.objective = config.objective.over(*batches.told(batches.rows))
        self.optimiser = torch.optim.AdamW(
            policy.learned,
            config.learning_rate,
            (0.9, 0.95),
            weight_decay=config.weight_decay,
            fused=True,
        )

    def step(self) -> dict[str, float]:
        """Take one step of the optimiser."""
        config, number = self.config, self.step_count
        rate = warm_then_cosine(config.learning_rate, number / config.steps, config.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        rows = self.batches.drawn(number, self.batch)
        self.optimiser.zero_grad(set_to_none=True)
        info = self._gradients(rows)
        torch.nn.utils.clip_grad_norm_(self.policy.learned, config.clip)
        self.optimiser.step()
        self.step_count += 1
        return info | {"lr": rate}

    def held_by_a_step(self) -> float:
        """Measure what a step holds in memory beside weights and moments, bytes of a process."""
        rows = self.share.of(self.batches.drawn(0, self.batch))

        def take(count: int) -> None:
            self._losses(Piece(rows[:count], 0, count)).sum().backward()
            self.optimiser.zero_grad(set_to_none=True)

        if self.sharding is not None:
            take(1)  # what it makes once
        size = min(self.config.piece or len(rows), len(rows))
        whole = 0 if self.sharding is None else self.sharding.whole_bytes
        return float(peak(take, size) + whole)

    def draw_by_weight(self, run: Path, resumes: bool) -> None:
        """Let rows be drawn by what the objective makes of all of them at once.

        The spread of the losses is that of some batches before any step. A run that `resumes` has
        the chances that it began with, which `run` keeps. All processes call it together.
        """
        path, all_rows = run / DRAWN, self.batches.rows
        if resumes and path.is_file():
            self.batches = replace(self.batches, chance=np.load(path))
            return
        found = []
        with torch.no_grad():
            for step in range(min(BATCHES, max(1, len(all_rows) // self.batch))):
                pieces = self._pieces(self.batches.drawn(step, self.batch))
                found.append(self.group.gather(torch.cat([self._losses(p) for p in pieces])))
        losses = torch.cat(found).double()
        chance = chances(self.config.objective, losses, *self.batches.told(all_rows))
        self.batches = replace(self.batches, chance=chance)
        if self.group.leads:
            np.save(path, chance)
        self.group.wait()

    def _pieces(self, rows: NDArray[np.int64]) -> list[Piece]:
        """Cut this process's share of a batch's rows [B]."""
        own = self.share.of(rows)
        size, first = self.config.piece or len(own), self.share.index * len(own)
        starts = range(0, len(own), size)
        return [Piece(own[at : at + size], first + at, len(rows)) for at in starts]

    def _gradients(self, rows: NDArray[np.int64]) -> dict[str, float]:
        """Leave the gradient of a batch of rows [B] in what learns."""
        signal, task = self.batches.told(rows)
        pieces = self._pieces(rows)
        if len(pieces) == 1:
            found = [self._losses(pieces[0])]
        else:
            with torch.no_grad():
                found = [self._losses(piece) for piece in pieces]
        losses = self.group.gather(torch.cat(found))
        weights, info = self._weights(losses, signal, task)
        for piece in pieces:
            part = found[0] if len(pieces) == 1 else self._losses(piece)
            share = weights[piece.begin : piece.begin + len(part)].to(part)
            # processes' gradients are averaged
            (self.group.size * (share * part).sum()).backward()
        return info | {"loss": float(losses.mean())}

    def _weights(
        self, losses: Tensor, signal: Tensor, task: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Weigh the samples of a whole batch [B]; they sum to 1."""
        objective = self.objective
        if not objective.needs_signal or self.config.drawn:
            return torch.full_like(losses, 1 / len(losses)), {}
        weights, info = objective.weights(losses.double().cpu(), signal, task)
        return weights.to(losses), info

    def _losses(self, piece: Piece) -> Tensor:
        """Compute the losses [b] of a piece of a batch."""
        prepared = self.policy.before(self.batches.raw(piece.rows))
        there = {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in prepared.items()
        }
        seed = self.config.seed * SEED_STEP + self.step_count * 997
        with self.autocast():
            return self.policy.losses(there, seed, piece.begin, piece.of).float()

    @torch.no_grad()
    def validate(self, rows: NDArray[np.int64]) -> float:
        """Compute the plain mean loss of held-out rows, of the same noise at every call.

        Every process computes all of them.
        """
        if not len(rows):
            return float("nan")
        picked = rows[np.linspace(0, len(rows) - 1, min(VALIDATED, len(rows)), dtype=np.int64)]
        size = self.config.piece or self.batch // self.group.size
        count, self.step_count = self.step_count, 0
        self.policy.policy.eval()
        try:
            found = [
                self._losses(Piece(picked[at : at + size], at, len(picked)))
                for at in range(0, len(picked), size)
            ]
        finally:
            self.step_count = count
            self.policy.policy.train()
        return float(torch.cat(found).mean())


def precision_of(config: TuneConfig, device: torch.device) -> str:
    """Choose bf16 or fp32. Raises `ConfigError` for fp16, whose gradients vanish unscaled."""
    if config.precision == "fp16":
        raise ConfigError("--precision fp16: fine-tuning computes in bf16 or fp32")
    found = choose_precision(config.precision, device)
    return "fp32" if found == "fp16" else found
