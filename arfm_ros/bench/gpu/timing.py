"""Wall times of work on a device, which is waited for each time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

WARM = 3
Work = Callable[[], object]


def times_ms(work: Work, wait: Work, seconds: float, least: int = 5) -> list[float]:
    """Time `work` again and again for `seconds`, `least` times at least; a few before that."""
    for _ in range(WARM):
        work()
    wait()
    found = list[float]()
    finish = time.monotonic() + seconds
    while len(found) < least or time.monotonic() < finish:
        begin = time.perf_counter_ns()
        work()
        wait()
        found.append(1e-6 * (time.perf_counter_ns() - begin))
    return found


def summary(found: Sequence[float]) -> dict[str, Any]:
    """Give N, p50, p99 and the largest of times in ms."""
    p50, p99 = np.percentile(found, (50, 99))
    return {
        "count": len(found),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(max(found)),
    }


def torch_device(name: str) -> tuple[Any, Work]:
    """Return torch's device and what waits for it. Raises `Skipped` where it finds no GPU."""
    import torch

    from arfm_ros.bench.gpu.parts import Skipped

    if name == "cpu":
        torch.set_num_threads(1)  # tiny sizes: more threads only wait for each other
        return torch.device("cpu"), lambda: None
    if not torch.cuda.is_available():
        raise Skipped(f"torch {torch.__version__} finds no GPU with CUDA")
    return torch.device("cuda", 0), torch.cuda.synchronize
