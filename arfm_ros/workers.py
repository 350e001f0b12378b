"""Processes that end when the one that started them does, even by kill -9."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.pool import Pool
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(number: int, parent: int) -> None:
    """Have the kernel send signal `number` when the process `parent`, which started this, ends.

    Exits at once where it ended before. Does nothing where the kernel has no such call.
    """
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        sys.exit("the process that started this one ended before it began")


@contextmanager
def worker_pool(
    count: int, start: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Generator[Pool, None, None]:
    """Give `count` fresh processes, each of which calls `start(*arguments)` first.

    They get SIGTERM when the block is left or this process ends, however that happens.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, _begin, (os.getpid(), start, arguments)) as pool:
        yield pool


def _begin(parent: int, start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    end_with_parent(signal.SIGTERM, parent)
    if start is not None:
        start(*arguments)
