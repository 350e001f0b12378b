"""Worlds that a policy acts in, action by action: no clock, no delay, no arbiter.

The same loop for the simulated table and for benchmarks of other projects. What the robot's stack
makes of a policy is measured by `Rollouts`; what the policy alone does, here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import U8, Observation, Policy
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.robots.embodiment import Embodiment

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Step:
    """What one action came to."""

    observation: Observation
    progress: float  # 0 at the start to 1 at the goal
    success: bool  # the goal was held
    over: bool  # success, or the time limit


class Environment(Protocol):
    """A world with tasks in it; the same task and seed give the same start."""

    def reset(self, task: str, seed: int) -> Observation:
        """Start an episode; raises `ConfigError` for an unknown task."""

    def step(self, action: F64) -> Step:
        """Take an action [A], in the order of the policy's, for one dt of the policy."""

    def close(self) -> None:
        """Free what it holds."""


Cameras = Sequence[tuple[str, int, int]]  # name, height, width
Draw = Callable[[str, tuple[int, int]], U8]  # name, (height, width) -> [H, W, 3]
Act = Callable[[Observation], F64]  # observation with all axes of the body -> action [A]


class Pictures(Mapping[str, U8]):
    """Images [H, W, 3] by camera, drawn when they are looked at: before the world's next step.

    Without a GPU drawing one takes hundreds of times as long as a step, and a policy looks at few.
    """

    def __init__(self, cameras: Cameras, draw: Draw, now: Callable[[], int]) -> None:
        self._sizes = {name: (height, width) for name, height, width in cameras}
        self._draw, self._now, self._at = draw, now, now()
        self._drawn: dict[str, U8] = {}

    def __getitem__(self, name: str) -> U8:
        """Draw a camera's image. Raises `LookupError` once the world has moved on."""
        if name not in self._drawn:
            if self._now() != self._at:
                raise LookupError(f"camera {name} was not looked at before the world moved on")
            self._drawn[name] = self._draw(name, self._sizes[name])
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)


@dataclass(frozen=True, slots=True)
class Body:
    """What a robot of an environment senses and does, where it has no YAML of its own."""

    axes: Embodiment  # what policies see of it, and its actions
    seen: tuple[str, ...]  # all that can be sensed; an expert sees all of it
    cameras: tuple[str, ...]
    dt_ns: int  # of an action


@dataclass(frozen=True, slots=True)
class Kind:
    """An environment by its name; `task` may stand for several, '' for all."""

    tasks: Callable[[str], tuple[str, ...]]  # raises `ConfigError` listing the known ones
    open: Callable[[PolicySpec], Environment]
    body: Body | None = None  # None: demonstrations are `arfm demos`' own
    sense: Callable[[Sequence[str], Cameras], Environment] | None = None  # what is named, alone
    expert: Callable[[str], Act] | None = None  # of a task


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """How an episode went; `steps` until success or the limit."""

    task: str
    seed: int
    instruction: str
    success: bool
    steps: int
    progress: float  # the largest


def play(
    environment: Environment, policy: Policy, spec: PolicySpec, task: str, seed: int, executed: int
) -> EpisodeResult:
    """Run one episode: of each chunk the first `executed` actions, then a fresh observation."""
    if not 1 <= executed <= spec.horizon:
        raise ConfigError(f"{executed} actions of a chunk are executed, it has {spec.horizon}")
    rng = np.random.default_rng([seed, 1])
    seen, steps, most = environment.reset(task, seed), 0, 0.0
    while True:
        noise = rng.standard_normal(spec.flow_shape).astype(np.float32)
        chunk = policy.sample(policy.encode(seen), noise)
        for action in chunk.actions[:executed]:
            step = environment.step(action.astype(np.float64))
            steps, most, seen = steps + 1, max(most, step.progress), step.observation
            if step.over:
                return EpisodeResult(task, seed, seen.instruction, step.success, steps, most)
