"""Data-parallel gradients on threads: each computes its share of the batch on one core.

One barrier a step instead of one a kernel: when other processes take a core away, the usual
intra-operation threads wait for each other at every kernel and training slows down tenfold.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch

from arfm_ros.learn.model import FlowPolicy

Share = Callable[[FlowPolicy, int], tuple[torch.Tensor, dict[str, float]]]


class Part(NamedTuple):
    """Losses of a share of b samples, the graph still attached."""

    losses: torch.Tensor  # [b], each counts as the batch decides
    other: torch.Tensor  # scalar, of the share's mean
    signal: torch.Tensor  # [b], R*
    info: dict[str, float]


Forward = Callable[[FlowPolicy, int], Part]
# (losses [B], R* [B]) of the whole batch -> its loss, values to log
BatchLoss = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, dict[str, float]]]


class Replicas:
    """Copies of a network that share its weights but not its gradients."""

    def __init__(self, model: FlowPolicy, count: int) -> None:
        torch.set_num_threads(1)
        self.models = [model, *(_share_weights(model) for _ in range(count - 1))]
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def gradients(self, share: Share) -> list[dict[str, float]]:
        """Leave in the first network the mean gradient of `share(model, index)` over the copies.

        `share` returns a loss and values to log; an error in one of the threads is raised here.
        """

        def work(index: int) -> dict[str, float]:
            model = self.models[index]
            model.zero_grad(set_to_none=True)
            loss, info = share(model, index)
            (loss / len(self.models)).backward()
            return info

        infos = list(self._pool.map(work, range(len(self.models))))
        _add_gradients(self.models)
        return infos

    def batch_gradients(self, forward: Forward, loss: BatchLoss) -> list[dict[str, float]]:
        """Leave in the first network the gradient of a loss that needs the whole batch at once.

        Each copy computes the losses of its share; `loss` combines them all; each copy goes back
        from its own losses with the slopes that `loss` has there. One forward pass, as ever.
        """

        def ahead(index: int) -> Part:
            self.models[index].zero_grad(set_to_none=True)
            return forward(self.models[index], index)

        parts = list(self._pool.map(ahead, range(len(self.models))))
        slopes, info = relative_slopes(parts, loss)

        def back(index: int) -> None:
            part = parts[index]
            value = (slopes[index] * part.losses).mean() + part.other
            (value / len(self.models)).backward()

        list(self._pool.map(back, range(len(self.models))))
        _add_gradients(self.models)
        return [part.info | info for part in parts]


def relative_slopes(
    parts: Sequence[Part], loss: BatchLoss
) -> tuple[tuple[torch.Tensor, ...], dict[str, float]]:
    """Differentiate `loss` by the losses of all parts; returns B dL/dl_i for each part.

    In float64, so that equal weights come out as exactly 1 whatever the batch size.
    """
    losses = torch.cat([part.losses.detach() for part in parts]).double().requires_grad_()
    value, info = loss(losses, torch.cat([part.signal for part in parts]).double())
    (slope,) = torch.autograd.grad(value, losses)
    relative = (len(losses) * slope).to(parts[0].losses.dtype)
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
