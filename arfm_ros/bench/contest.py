"""Time what a policy does, on several runtimes in turns, so that all meet the same load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from arfm_ros.core.chunks.rtc import guidance, left_over
from arfm_ros.core.values.data import Observation
from arfm_ros.engines.policy import EnginePolicy

STEPS, CHUNKS = 20, 5  # timed calls in a row, of a step and of what takes longer
LIMIT_S = 1.0  # of such a row, which then ends early: a runtime may be a thousand times slower
COLD = 3  # calls before them that do not count: threads of another runtime still spin
TIME = 0.1  # of the flow, at which a step is timed
DELAY = 4  # actions that are under way when a chunk follows on

Work = Callable[[], object]


class Timed(Protocol):
    """What competes: `get_ready` is called before each turn, the times of its works are kept."""

    @property
    def get_ready(self) -> Work: ...

    @property
    def wall_ns(self) -> dict[str, list[int]]: ...

    @property
    def cpu_ns(self) -> dict[str, list[int]]: ...

    def works(self, observation: Observation) -> Mapping[str, Work]:
        """Give what is timed, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Contender:
    """A bundle on a runtime; `get_ready` is called before each turn."""

    name: str
    policy: EnginePolicy
    threads: Mapping[str, int]  # of each graph
    get_ready: Work = lambda: None
    wall_ns: dict[str, list[int]] = field(default_factory=dict)
    cpu_ns: dict[str, list[int]] = field(default_factory=dict)  # of this process, all threads

    def works(self, observation: Observation) -> Mapping[str, Work]:
        """Give the graphs and the chunks."""
        return timed_works(self.policy, observation)


@dataclass(frozen=True, slots=True)
class Chunks:
    """Whatever makes commands of an observation: only whole chunks of it are timed."""

    name: str
    chunk: Callable[[Observation], object]
    get_ready: Work = lambda: None
    wall_ns: dict[str, list[int]] = field(default_factory=dict)
    cpu_ns: dict[str, list[int]] = field(default_factory=dict)

    def works(self, observation: Observation) -> Mapping[str, Work]:
        """Give the chunk."""
        return {"chunk": partial(self.chunk, observation)}


def compete(
    contenders: Sequence[Timed], observation: Observation, seconds: float, between: Work
) -> None:
    """Fill the times of every contender, in turns, for `seconds` and for one turn at least.

    Of a bundle prefix (with the preparation of its inputs), step, step_rtc, chunk and chunk_rtc, a
    chunk that follows on from another one. `between` is called after each turn of all.
    """
    works = [one.works(observation) for one in contenders]
    finish = time.monotonic() + seconds
    while True:
        for one, found in zip(contenders, works):
            one.get_ready()
            for name, work in found.items():
                count = STEPS if name.startswith("step") else CHUNKS
                wall, cpu = _time(work, count)
                one.wall_ns.setdefault(name, []).extend(wall)
                one.cpu_ns.setdefault(name, []).extend(cpu)
        between()
        if time.monotonic() >= finish:
            return


def timed_works(policy: EnginePolicy, observation: Observation) -> Mapping[str, Work]:
    """Give what is timed, by name."""
    spec, noise = policy.spec, _noise(policy.spec.flow_shape)
    context = policy.encode(observation)
    first = policy.sample(context, noise)

    def chunk() -> None:
        policy.sample(policy.encode(observation), noise)

    works: dict[str, Work] = {
        "prefix": partial(policy.encode, observation),
        "step": partial(policy.velocity(context), noise, TIME),
        "chunk": chunk,
    }
    if spec.rtc.mode == "none":
        return works
    under_way = left_over(first, first.stamp_ns, min(DELAY, spec.horizon - 1))
    given = guidance(under_way, spec, context.state)

    def following() -> None:
        policy.sample(policy.encode(observation), noise, under_way)

    works["step_rtc"] = partial(policy.guided_velocity(context, given), noise, TIME)
    works["chunk_rtc"] = following
    return works


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _time(work: Work, count: int) -> tuple[list[int], list[int]]:
    finish = time.monotonic() + LIMIT_S
    for _ in range(COLD):
        work()
        if time.monotonic() >= finish:
            break
    wall, cpu = list[int](), list[int]()
    while not wall or (len(wall) < count and time.monotonic() < finish):
        cpu_begin, begin = time.process_time_ns(), time.perf_counter_ns()
        work()
        wall.append(time.perf_counter_ns() - begin)
        cpu.append(time.process_time_ns() - cpu_begin)
    return wall, cpu
