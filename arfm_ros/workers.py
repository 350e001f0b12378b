"""Processes that end when the one that started them does, even by kill -9."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from arfm_ros.core.errors import ConfigError

Job = TypeVar("Job")
Result = TypeVar("Result")
PR_SET_PDEATHSIG = 1  # linux/prctl.h

_failure: Exception | None = None  # of a worker's preparation: its jobs raise it


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


class Workers:
    """Processes that take jobs; a job's error is raised where its result is asked for.

    An error of their preparation is raised in place of the first result. A process that ends by
    itself raises `ConfigError`: a `multiprocessing.Pool` starts another one and waits for ever.
    """

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def in_order(
        self, work: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Generator[Result, None, None]:
        """Give work(job) of each job, in their order."""
        yield from _results(iter(self._submit(work, jobs)))

    def as_done(
        self, work: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Generator[Result, None, None]:
        """Give work(job) of each job, as they are done."""
        yield from _results(as_completed(self._submit(work, jobs)))

    def _submit(self, work: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Future[Result]]:
        return [self._pool.submit(_work, work, job) for job in jobs]


@contextmanager
def worker_pool(
    count: int, start: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Generator[Workers, None, None]:
    """Give `count` fresh processes, each of which calls `start(*arguments)` first.

    They get SIGTERM when the block is left or this process ends, however that happens.
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (os.getpid(), start, arguments))
    try:
        yield Workers(pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown()


def _begin(parent: int, start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    global _failure
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent's, which ends this one
    end_with_parent(signal.SIGTERM, parent)
    try:
        if start is not None:
            start(*arguments)
    except Exception as error:  # noqa: BLE001  the jobs tell it
        _failure = error


def _work(work: Callable[[Job], Result], job: Job) -> Result:
    if _failure is not None:
        raise _failure
    return work(job)


def _results(futures: Iterator[Future[Result]]) -> Generator[Result, None, None]:
    try:
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        raise ConfigError(
            "a worker process ended by itself, as the kernel does it to one when memory runs out; "
            "what was finished is kept. Give fewer --workers, or free memory, and run it again"
        ) from error
