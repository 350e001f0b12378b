"""The processes of a training: one, or those that torchrun started; and how they are stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

PATIENCE = timedelta(hours=12)  # the first process reads the episodes, the others wait


@dataclass(frozen=True, slots=True)
class Group:
    """This process among `size` of them; alone, what they agree on is what it says."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine: the number of its GPU

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Join the values [b] of all processes, in order of rank, on the processor."""
        own = values.detach().cpu()
        if self.size == 1:
            return own
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    def largest(self, *values: float) -> list[float]:
        """Take the largest of each value over all processes."""
        if self.size == 1:
            return list(values)
        agreed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        return agreed.tolist()

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.largest(0.0)

    def leave(self) -> None:
        """Let go of the other processes."""
        if self.size > 1:
            dist.destroy_process_group()


ALONE = Group()


def join_group() -> Group:
    """Meet the other processes if torchrun started this one."""
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return ALONE
    local_rank = int(os.environ["LOCAL_RANK"])
    if torch.cuda.device_count() > local_rank:
        torch.cuda.set_device(local_rank)
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    return Group(dist.get_rank(), dist.get_world_size(), local_rank)


@contextmanager
def stop_on_signal() -> Generator[threading.Event, None, None]:
    """Make SIGTERM and SIGINT set an event; give them back to who had them before.

    A run looks between two steps, saves and stops.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may
        return
    names = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(name, lambda *_: stop.set()) for name in names]
    try:
        yield stop
    finally:
        for name, handler in zip(names, before):
            signal.signal(name, handler)
