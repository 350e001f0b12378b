"""The environments by name, and many episodes in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import load_bundle, load_policy
from arfm_ros.evaluate.envs.environment import Environment, EpisodeResult, Kind, play
from arfm_ros.evaluate.envs.libero import LIBERO
from arfm_ros.evaluate.envs.metaworld import METAWORLD
from arfm_ros.evaluate.envs.tabletop import TABLETOP
from arfm_ros.workers import worker_pool

ENVIRONMENTS: dict[str, Kind] = {"tabletop": TABLETOP, "metaworld": METAWORLD, "libero": LIBERO}


@dataclass(frozen=True, slots=True)
class Venue:
    """An environment and the tasks in it that are meant."""

    name: str
    tasks: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """How it is opened."""
        return ENVIRONMENTS[self.name]


def find_venue(text: str, tasks: Sequence[str] = ()) -> Venue:
    """Read `tabletop`, `metaworld:mt10`, `metaworld:push-v3` or `libero_object:3`.

    `tasks` are further ones.

    Raises `ConfigError` listing the environments, or the tasks, that are known.
    """
    name, _, task = text.partition(":")
    if name not in ENVIRONMENTS and name.partition("_")[0] in ENVIRONMENTS:  # a suite of one
        name, task = name.partition("_")[0], text
    if name not in ENVIRONMENTS:
        raise ConfigError(
            f"environment '{name}' is unknown, needs one of {', '.join(ENVIRONMENTS)}"
        )
    wanted = [*([task] if task else []), *tasks]
    known = ENVIRONMENTS[name].tasks
    return Venue(name, tuple(dict.fromkeys(t for one in wanted or [""] for t in known(one))))


def open_environment(name: str, spec: PolicySpec) -> Environment:
    """Open an environment for a policy; raises `ConfigError` listing the known ones."""
    if name not in ENVIRONMENTS:
        find_venue(name)
    return ENVIRONMENTS[name].open(spec)


def episodes(
    bundle: Path, venue: Venue, seeds: Sequence[int], period_ns: int, workers: int = 1
) -> Iterator[EpisodeResult]:
    """Run every task from every seed with a fresh chunk each `period_ns`, or each action."""
    open_environment(venue.name, load_bundle(bundle).spec).close()  # here its error is heard
    jobs = [(task, seed) for task in venue.tasks for seed in seeds]
    with worker_pool(workers, _start, (bundle, venue.name, period_ns)) as pool:
        yield from track(pool.in_order(_run, jobs), total=len(jobs), description=venue.name)


class _Player:
    """A policy and the world that it acts in, in a process of their own."""

    def __init__(self, bundle: Path, name: str, period_ns: int) -> None:
        self._policy = load_policy(bundle, threads=1)
        self._spec = self._policy.spec
        self._executed = min(max(1, round(period_ns / self._spec.dt_ns)), self._spec.horizon)
        self._environment = open_environment(name, self._spec)

    def run(self, task: str, seed: int) -> EpisodeResult:
        policy, spec = self._policy, self._spec
        return play(self._environment, policy, spec, task, seed, self._executed)


_player: _Player | None = None


def _start(bundle: Path, name: str, period_ns: int) -> None:
    global _player
    _player = _Player(bundle, name, period_ns)


def _run(job: tuple[str, int]) -> EpisodeResult:
    assert _player is not None
    return _player.run(*job)
