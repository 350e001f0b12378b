"""Rows drawn by their weight, each counting the same, in place of drawn rows that are weighed.

The mean over rows drawn with chances w is the weighted mean over all rows; its variance is that of
the losses, not that of losses times weights. The weights are an objective's, over all rows at
once: one softmax over the data where a batch's would be over a batch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.dataset import Sampler
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.objectives.flow_loss import flow_loss

NAME = "drawn.npy"
BATCHES = 8  # from which the spread of the losses is taken
F64 = NDArray[np.float64]


def drawn_by_weight(
    sampler: Sampler, model: FlowPolicy, config: TrainConfig, run: Path, resumes: bool
) -> Sampler:
    """Give a sampler the chances of its rows; a resumed run has those that it began with.

    Raises `ConfigError` for an objective whose weights are no chances.
    """
    objective, path = config.objective, run / NAME
    if not objective.needs_signal or objective.conditioned or objective.needs_reference:
        raise ConfigError(
            f"--drawn needs an objective that weighs (arfm, rwr), not {objective.name}"
        )
    if resumes and path.is_file():
        return replace(sampler, chance=np.load(path))
    assert sampler.signal is not None  # the objective needs it
    rows = sampler.rows
    signal = torch.from_numpy(sampler.signal[rows])
    tasks = torch.from_numpy(sampler.frames.task_numbers[sampler.frames.episode[rows]])
    weights, _ = objective.weights(
        _spread(_losses(sampler, model, config), len(rows)), signal, tasks
    )
    chance = weights.double().numpy()
    chance = chance / chance.sum()
    run.mkdir(parents=True, exist_ok=True)
    np.save(path, chance)
    return replace(sampler, chance=chance)


def _losses(sampler: Sampler, model: FlowPolicy, config: TrainConfig) -> torch.Tensor:
    """Compute the losses of a few batches before any step."""
    found = []
    with torch.no_grad():
        for step in range(min(BATCHES, max(1, len(sampler.rows) // config.batch))):
            batch = sampler.batch(step, config.batch)
            context, _ = model.encode(batch.images, batch.state, batch.tokens)
            rng = torch.Generator().manual_seed(config.seed + step)
            found.append(flow_loss(model, context, batch.actions, config.flow, rng)[0].double())
    return torch.cat(found)


def _spread(losses: torch.Tensor, count: int) -> torch.Tensor:
    """Make `count` losses of the same mean and deviation as a sample's."""
    sign = torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0).double()
    return losses.mean() + losses.std(correction=0) * sign
