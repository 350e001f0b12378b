"""Gradients of a step whose batch is cut into shares: threads of a process, or processes.

In one process each share has a thread on a core of its own. One barrier a step instead of one a
kernel: when other processes take a core away, the usual intra-operation threads wait for each
other at every kernel and training slows down tenfold. Under torchrun each process has one share,
and DistributedDataParallel averages the gradients.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from arfm_ros.learn.data.dataset import Share
from arfm_ros.learn.loop.group import ALONE, Group
from arfm_ros.learn.model.network import FlowPolicy


class Part(NamedTuple):
    """Losses of a share of b samples, the graph still attached."""

    losses: torch.Tensor  # [b], each counts as the batch decides
    other: torch.Tensor  # [b], counts as much: what a failure was after is no goal either
    signal: torch.Tensor  # [b], R*
    task: torch.Tensor  # [b], its number
    info: dict[str, float]


Forward = Callable[[FlowPolicy, Share], Part]
# (losses [B], R* [B], tasks [B]) of the whole batch -> its loss, values to log
BatchLoss = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, dict[str, float]]
]


class _Pass(nn.Module):
    """A forward pass up to the losses as a module: what DistributedDataParallel wraps."""

    def __init__(self, model: FlowPolicy) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Forward, share: Share) -> Part:
        return work(self.model, share)


class Replicas:
    """Copies of a network that share its weights but not its gradients."""

    def __init__(
        self,
        model: FlowPolicy,
        threads: int,
        group: Group = ALONE,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        torch.set_num_threads(1)
        self.models = [model, *(_share_weights(model) for _ in range(threads - 1))]
        self._passes: list[nn.Module] = [_Pass(one) for one in self.models]
        if group.size > 1:
            self._passes = [DistributedDataParallel(self._passes[0], broadcast_buffers=False)]
        self._group, self._scaler = group, scaler
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    @property
    def shares(self) -> list[Share]:
        """The shares that this process computes."""
        count, first = len(self.models), self._group.rank * len(self.models)
        return [Share(first + i, count * self._group.size) for i in range(count)]

    def gradients(self, forward: Forward, loss: BatchLoss | None = None) -> list[dict[str, float]]:
        """Leave the gradient of the batch in the first network; returns values to log.

        `loss` combines the losses of the whole batch: every share goes back from its own losses
        with the slopes that `loss` has there. Without it the mean is meant, and no share waits
        for another between its passes. An error in a thread is raised here.
        """

        def ahead(index: int) -> Part:
            self.models[index].zero_grad(set_to_none=True)
            part: Part = self._passes[index](forward, self.shares[index])
            return part

        def back(part: Part, slopes: torch.Tensor | None) -> None:
            losses = part.losses + part.other
            value = (losses if slopes is None else slopes * losses).mean() / len(self.models)
            (value if self._scaler is None else self._scaler.scale(value)).backward()

        def both(index: int) -> dict[str, float]:
            part = ahead(index)
            back(part, None)
            return part.info

        indices = range(len(self.models))
        if loss is None:
            infos = list(self._pool.map(both, indices))
        else:
            parts = list(self._pool.map(ahead, indices))
            slopes, info = relative_slopes(parts, loss, self._group)
            list(self._pool.map(back, parts, slopes))
            infos = [part.info | info for part in parts]
        _add_gradients(self.models)
        return infos


def relative_slopes(
    parts: Sequence[Part], loss: BatchLoss, group: Group = ALONE
) -> tuple[tuple[torch.Tensor, ...], dict[str, float]]:
    """Differentiate `loss` by the losses of all shares; returns B dL/dl_i for each own part.

    In float64, so that equal weights come out as exactly 1 whatever the batch size.
    """
    own = torch.cat([part.losses.detach() for part in parts])
    losses = group.gather(own).double().requires_grad_()
    signal = group.gather(torch.cat([part.signal for part in parts]))
    task = group.gather(torch.cat([part.task for part in parts]))
    value, info = loss(losses, signal.double(), task)
    (slope,) = torch.autograd.grad(value, losses)
    relative = Share(group.rank, group.size).of(len(losses) * slope).to(own)
    sizes = [len(part.losses) for part in parts]
    return relative.split(sizes), info | {"batch_loss": float(value.detach())}


def _share_weights(model: FlowPolicy) -> FlowPolicy:
    replica = copy.deepcopy(model)
    for own, other in zip(replica.parameters(), model.parameters()):
        own.data = other.data
    return replica


def _add_gradients(models: Sequence[FlowPolicy]) -> None:
    for parts in zip(*(model.parameters() for model in models)):
        first = parts[0].grad
        for part in parts[1:]:
            if first is not None and part.grad is not None:
                first += part.grad
