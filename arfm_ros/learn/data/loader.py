"""Where a step's batch comes from: made when it is asked for, or ahead of that for a GPU."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from arfm_ros.learn.data.dataset import Batch, Sampler, Share

# with the moment at which it has arrived on the GPU
_Made = tuple[Batch, torch.cuda.Event | None]


class Loader(Protocol):
    """Gives each share of a step's batch on the device of the training."""

    def batch(self, step: int, share: Share) -> Batch:
        """Give a share of the batch of `step`."""
        ...


class Direct:
    """Makes a batch when it is asked for, on the thread that asks: all cores compute anyway."""

    def __init__(self, sampler: Sampler, size: int, device: torch.device) -> None:
        self._sampler, self._size, self._device = sampler, size, device

    def batch(self, step: int, share: Share) -> Batch:
        """Make a share of the batch of `step`."""
        return self._sampler.batch(step, self._size, share).to(self._device)


class Prefetch:
    """Makes the next batch on a thread of its own while the device computes this step.

    On a GPU it is copied there from pinned memory on a stream of its own.
    """

    def __init__(self, sampler: Sampler, size: int, device: torch.device) -> None:
        self._sampler, self._size, self._device = sampler, size, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._pool = ThreadPoolExecutor(1)
        self._ahead: tuple[tuple[int, Share], Future[_Made]] | None = None

    def batch(self, step: int, share: Share) -> Batch:
        """Give a share of the batch of `step` and begin with the one after it.

        What went wrong with it ahead is raised here.
        """
        wanted, ahead = (step, share), self._ahead
        made = ahead[1] if ahead and ahead[0] == wanted else self._pool.submit(self._make, *wanted)
        after = (step + 1, share)
        self._ahead = (after, self._pool.submit(self._make, *after))
        batch, arrived = made.result()
        if arrived is not None:
            here = torch.cuda.current_stream(self._device)
            here.wait_event(arrived)
            batch.map(lambda value: _keep_for(value, here))
        return batch

    def _make(self, step: int, share: Share) -> _Made:
        batch = self._sampler.batch(step, self._size, share)
        if self._stream is None:
            return batch.to(self._device), None
        with torch.cuda.stream(self._stream):
            moved = batch.map(lambda v: v.pin_memory().to(self._device, non_blocking=True))
            return moved, self._stream.record_event()


def _keep_for(value: torch.Tensor, stream: torch.cuda.Stream) -> torch.Tensor:
    value.record_stream(stream)  # its memory is not given away before that stream is done
    return value


def make_loader(sampler: Sampler, size: int, device: torch.device) -> Loader:
    """Choose by the device: a GPU leaves the processor time to work ahead."""
    return (Prefetch if device.type == "cuda" else Direct)(sampler, size, device)
