"""Many headless episodes of one bundle on several processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.progress import track

from arfm_ros.core.chunks.seams import Seams
from arfm_ros.core.safety.smoothness import Smoothness, mean_of
from arfm_ros.core.values.spec import Rtc
from arfm_ros.core.values.statistics import wilson
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.evaluate.results import Results
from arfm_ros.evaluate.rollout import RolloutResult, Rollouts
from arfm_ros.sim.drive.driver import DriverConfig
from arfm_ros.workers import worker_pool

_rollouts: Rollouts | None = None
LATER_CHOICES = (
    "robot",
    "human",
    "solver",
    "perturb",
    "told",
    "guidance",
    "schedule",
    "precision",
    "context_ms",
    "reuse_views",
)


def evaluate(
    bundle: Path,
    task: str,
    seeds: Iterable[int],
    config: DriverConfig,
    workers: int,
    out: Path | None = None,
) -> list[RolloutResult]:
    """Run one episode per seed and return them in the order of the seeds.

    Episodes are kept in the folder `out` as they end; what is there already is not run again.
    """
    wanted = list(seeds)
    results = _results(bundle, task, config, out)
    done = {} if results is None else results.read()
    missing = [seed for seed in wanted if seed not in done]
    if missing:
        fresh = _run_all(bundle, [(task, seed) for seed in missing], config, workers)
        kept = fresh if results is None else results.keep(fresh)
        done.update((result.seed, result) for result in kept)
    return [done[seed] for seed in wanted]


def summary(results: Sequence[RolloutResult]) -> dict[str, Any]:
    """Return success with its 95 % Wilson interval, seams, smoothness, and every episode."""
    good = sum(r.success for r in results)
    return {
        "success_rate": good / len(results),
        "n": len(results),
        "interval": wilson(good, len(results)),
        "seams": all_seams(results).as_json(),
        "smoothness": smoothness(results).as_json(),
        **_views(results),
        "episodes": [asdict(r) | {"seams": r.seams.as_json()} for r in results],
    }


def _views(results: Sequence[RolloutResult]) -> dict[str, float]:
    share = sum(r.views_reused for r in results) / len(results)
    return {"views_reused": share} if share else {}


def smoothness(results: Sequence[RolloutResult]) -> Smoothness:
    """Return the mean smoothness of the successful episodes."""
    return mean_of([r.smooth for r in results if r.success])


def all_seams(results: Sequence[RolloutResult]) -> Seams:
    """Return the seams of all episodes together."""
    return sum((r.seams for r in results), Seams())


def _results(bundle: Path, task: str, config: DriverConfig, out: Path | None) -> Results | None:
    if out is None:
        return None
    sha256 = load_bundle(bundle).sha256
    told = asdict(config)
    # results that were kept before there was a choice still count
    for name in LATER_CHOICES:
        if not told[name]:
            del told[name]
    return Results(out, {"bundle_sha256": sha256, "task": task, "config": told})


def _run_all(
    bundle: Path, jobs: list[tuple[str, int]], config: DriverConfig, workers: int
) -> Iterator[RolloutResult]:
    with worker_pool(workers, _start, (bundle, config)) as pool:
        results = pool.in_order(_run, jobs)
        yield from track(results, total=len(jobs), description=jobs[0][0])


def _start(bundle: Path, config: DriverConfig) -> None:
    global _rollouts
    policy = load_policy(bundle, threads=1, precision=config.precision)
    if config.solver:
        sampler = replace(policy.spec.sampler, solver=config.solver)
        policy.spec = replace(policy.spec, sampler=sampler)
    if config.guidance or config.schedule:
        policy.spec = replace(policy.spec, rtc=_guided(policy.spec.rtc, config))
    _rollouts = Rollouts(policy, policy.spec, config)


def _guided(rtc: Rtc, config: DriverConfig) -> Rtc:
    """Choose how chunks are guided; without the derivative every policy can be."""
    free = config.guidance == "identity" and rtc.mode != "guided"
    most = max(rtc.delay_max, 1)
    rtc = replace(rtc, mode="guided", delay_max=most) if free else rtc
    guidance, schedule = config.guidance or rtc.guidance, config.schedule or rtc.schedule
    return replace(rtc, guidance=guidance, schedule=schedule)


def _run(job: tuple[str, int]) -> RolloutResult:
    assert _rollouts is not None
    return _rollouts.run(*job)
