"""The environments by name, and many episodes in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import load_policy
from arfm_ros.evaluate.environment import Environment, EpisodeResult, play
from arfm_ros.evaluate.tabletop import Tabletop

ENVIRONMENTS: dict[str, Callable[[PolicySpec], Environment]] = {"tabletop": Tabletop}


def open_environment(name: str, spec: PolicySpec) -> Environment:
    """Open an environment for a policy; raises `ConfigError` listing the known ones."""
    if name not in ENVIRONMENTS:
        raise ConfigError(
            f"environment '{name}' is unknown, needs one of {', '.join(ENVIRONMENTS)}"
        )
    return ENVIRONMENTS[name](spec)


def episodes(
    bundle: Path, name: str, tasks: Iterable[str], seeds: Iterable[int], period_ns: int
) -> Iterator[EpisodeResult]:
    """Run every task from every seed with a fresh chunk each `period_ns`, or each action."""
    policy = load_policy(bundle)
    spec = policy.spec
    executed = min(max(1, round(period_ns / spec.dt_ns)), spec.horizon)
    environment = open_environment(name, spec)
    starts = list(seeds)
    try:
        for task in tasks:
            for seed in starts:
                yield play(environment, policy, spec, task, seed, executed)
    finally:
        environment.close()
