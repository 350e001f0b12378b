"""Many headless episodes of one bundle on several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import track

from arfm_ros.core.statistics import wilson
from arfm_ros.engines import load_policy
from arfm_ros.sim.driver import DriverConfig
from arfm_ros.sim.rollout import RolloutResult, Rollouts

_rollouts: Rollouts | None = None


def evaluate(
    bundle: Path, task: str, seeds: Iterable[int], config: DriverConfig, workers: int
) -> list[RolloutResult]:
    """Run one episode per seed, in the order of the seeds."""
    jobs = [(task, seed) for seed in seeds]
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_start, initargs=(bundle, config)) as pool:
        return list(track(pool.imap(_run, jobs), total=len(jobs), description=task))


def summary(results: Sequence[RolloutResult]) -> dict[str, Any]:
    """Return `success_rate`, `n`, `interval` (Wilson, 95 %) and `episodes`."""
    good = sum(r.success for r in results)
    return {
        "success_rate": good / len(results),
        "n": len(results),
        "interval": wilson(good, len(results)),
        "episodes": [asdict(r) for r in results],
    }


def _start(bundle: Path, config: DriverConfig) -> None:
    global _rollouts
    policy = load_policy(bundle, threads=1)
    _rollouts = Rollouts(policy, policy.spec, config)


def _run(job: tuple[str, int]) -> RolloutResult:
    assert _rollouts is not None
    return _rollouts.run(*job)
