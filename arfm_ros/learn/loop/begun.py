"""What a run keeps of how it began, so that it can go on: a reference policy, chances of rows.

The reference is the policy that an objective compares with. Rows drawn by their weight each count
the same, in place of drawn rows that are weighed: the mean over them is the weighted mean over all
rows; its variance is that of the losses, not that of losses times weights. The weights are an
objective's, over all rows at once: one softmax over the data where else it is over a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.data.dataset import Sampler
from arfm_ros.learn.loop.train import TrainConfig
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.objectives.flow_loss import flow_loss
from arfm_ros.learn.objectives.objective import Objective

REFERENCE, DRAWN = "reference.pt", "drawn.npy"
BATCHES = 8  # from which the spread of the losses is taken
F64 = NDArray[np.float64]


def open_reference(
    run: Path,
    make: Callable[[], FlowPolicy],
    began_with: Mapping[str, Any] | None,
    resumes: bool,
) -> FlowPolicy:
    """Make it of the weights that are begun with, and keep these in `run` for a resumed run.

    Raises `ConfigError` where training begins with no policy.
    """
    path, model = run / REFERENCE, make()
    if resumes:
        if not path.is_file():
            raise ConfigError(f"{path} is missing: the run cannot go on without it")
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return model
    if began_with is None:
        raise ConfigError("this objective compares with what is begun with: give --init")
    model.load_state_dict(dict(began_with))
    run.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    torch.save(model.state_dict(), new)
    os.replace(new, path)
    return model


def drawn_by_weight(
    sampler: Sampler, model: FlowPolicy, config: TrainConfig, run: Path, resumes: bool
) -> Sampler:
    """Give a sampler the chances of its rows; a resumed run has those that it began with.

    Raises `ConfigError` for an objective whose weights are no chances.
    """
    objective, path = config.objective, run / DRAWN
    require_weights(objective)
    if resumes and path.is_file():
        return replace(sampler, chance=np.load(path))
    assert sampler.signal is not None  # the objective needs it
    rows = sampler.rows
    signal = torch.from_numpy(sampler.signal[rows])
    tasks = torch.from_numpy(sampler.frames.task_numbers[sampler.frames.episode[rows]])
    chance = chances(objective, _losses(sampler, model, config), signal, tasks)
    run.mkdir(parents=True, exist_ok=True)
    np.save(path, chance)
    return replace(sampler, chance=chance)


def require_weights(objective: Objective) -> None:
    """Raise `ConfigError` for an objective whose weights are no chances of rows."""
    if not objective.needs_signal or objective.conditioned or objective.needs_reference:
        raise ConfigError(
            f"--drawn needs an objective that weighs (arfm, rwr), not {objective.name}"
        )


def chances(
    objective: Objective, losses: torch.Tensor, signal: torch.Tensor, tasks: torch.Tensor
) -> F64:
    """Compute how likely each row [N] is drawn: its weight among all, by its R* and its task.

    `losses` are those of some rows: their spread is taken for all.
    """
    weights, _ = objective.weights(_spread(losses, len(signal)), signal, tasks)
    chance = weights.double().numpy()
    return np.asarray(chance / chance.sum(), np.float64)


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
