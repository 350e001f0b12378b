"""How long one tick of the arbiter takes: late chunks, a human who takes over, the space check on.

No ROS and no sleeping: ticks follow each other, each after what came since the one before.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from arfm_ros.bench.chunk_stream import BEGIN_NS, MS, NS, Arrival, ChunkStream
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig, Lane
from arfm_ros.core.safety.limits import F64, Limits, Slowdown
from arfm_ros.core.safety.space import Space
from arfm_ros.robots.fr3.gains import TUNED
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.robots.fr3.space import fr3_space

PERIOD_NS = 10 * MS
PERSON_NS, PERSON_EVERY_NS, PERSON_RAD = 1 * NS, 5 * NS, 0.05  # takes over so long, so often
LAG = 0.4  # of the way to its command that the arm goes in a tick
TABLE = (-1.0, -1.0, -1.0, 1.0, 1.0, 0.0)  # a keep-out box of the space check
SECONDS_MIN = 5.0  # a human takes over once
TARGETS_US: Mapping[int, float] = {8: 300.0, 16: 600.0}  # axes -> p99
T = TypeVar("T")
ARM = fr3_limits(controller=TUNED)


@dataclass(frozen=True, slots=True)
class Ticks:
    """Durations of the ticks, wall clock, and who drove in how many of them."""

    count: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    chunk_p50_us: float  # of taking a chunk over, which is no part of a tick
    look_p99_us: float  # of looking ahead, when the command is out
    authorities: Mapping[str, int]
    refused: int

    def as_json(self) -> dict[str, object]:
        """Return the fields by name."""
        return asdict(self)


class ArmsApart:
    """The space of arms that stand apart: each keeps to its own."""

    def __init__(self, one: Space, arms: int) -> None:
        self._one, self._arms = one, arms
        self.reach = np.tile(one.reach, arms)

    def depth(self, positions: F64) -> F64:
        """Return how far [...] m the worst arm is outside at positions [..., A]."""
        parts = np.split(positions, self._arms, axis=-1)
        return np.asarray(np.max([self._one.depth(part) for part in parts], axis=0))

    def describe(self, position: F64) -> str:
        """Say what the worst arm at a position [A] violates."""
        return self._one.describe(max(np.split(position, self._arms), key=self._one.depth))


def config_of(arms: int) -> ArbiterConfig:
    """Return the arbiter's settings for so many arms with grippers, a lane for each."""
    one = (Lane("arm", ARM.size - 1, TUNED.lead), Lane("gripper", 1))
    lanes = tuple(replace(lane, name=f"{lane.name}{n}") for n in range(arms) for lane in one)
    space = ArmsApart(fr3_space((), TABLE), arms)
    return ArbiterConfig(_repeated(ARM, arms), lanes, space=space)


def measure(arms: int, seconds: float, seed: int) -> Ticks:
    """Time the ticks of so many simulated seconds with `arms` arms of 8 axes."""
    config = config_of(arms)
    arbiter = Arbiter(config)
    arrivals = list(_arrivals(arms, seconds, seed, config.limits.names))[::-1]
    measured: F64 = np.tile(ChunkStream(seed).start, arms)
    arbiter.engage(BEGIN_NS - 1, measured)
    ticks, chunks, looks, authorities = [], [], [], dict[str, int]()
    gc.collect()
    for now_ns in range(BEGIN_NS, BEGIN_NS + round(seconds * NS), PERIOD_NS):
        arbiter.on_state(measured, now_ns - 3 * MS, now_ns)
        while arrivals and arrivals[-1].at_ns <= now_ns:
            chunk = arrivals.pop().chunk
            chunks.append(_timed(arbiter.on_chunk, chunk, now_ns)[0])
        _person(arbiter, measured, now_ns)
        took_ns, decision = _timed(arbiter.tick, now_ns)
        ticks.append(took_ns)
        looks.append(_timed(arbiter.look_ahead)[0])
        authorities[decision.authority] = authorities.get(decision.authority, 0) + 1
        assert decision.command is not None
        measured = measured + LAG * (decision.command - measured)
    p50, p99, p999, most = (np.percentile(ticks, (50, 99, 99.9, 100)) / 1e3).tolist()
    beside = float(np.median(chunks)) / 1e3, float(np.percentile(looks, 99)) / 1e3
    return Ticks(len(ticks), p50, p99, p999, most, *beside, authorities, arbiter.rejections)


def _person(arbiter: Arbiter, measured: F64, now_ns: int) -> None:
    """Take over now and then, and hand back."""
    into_ns = (now_ns - BEGIN_NS) % PERSON_EVERY_NS - (PERSON_EVERY_NS - PERSON_NS)
    if into_ns >= 0:
        arbiter.on_human(measured + PERSON_RAD * np.sin(into_ns / NS), now_ns)
    else:
        arbiter.on_human_engaged(False, now_ns)


def _timed(call: Callable[..., T], *arguments: Any) -> tuple[int, T]:
    begin_ns = time.perf_counter_ns()
    value = call(*arguments)
    return time.perf_counter_ns() - begin_ns, value


def _arrivals(arms: int, seconds: float, seed: int, names: tuple[str, ...]) -> Iterator[Arrival]:
    """Give chunks of all arms, each arm on a path of its own, as late as those of the first."""
    streams = [ChunkStream(seed + n).arrivals(seconds) for n in range(arms)]
    for together in zip(*streams):
        first = together[0]
        actions = np.concatenate([one.chunk.actions for one in together], axis=1)
        yield Arrival(first.at_ns, replace(first.chunk, actions=actions, names=names))


def _repeated(one: Limits, arms: int) -> Limits:
    """Return the limits of several arms that are alike."""
    slow, together = one.slowdown, one.together
    assert slow is not None and together is not None
    return Limits(
        names=tuple(f"{name}_{n}" for n in range(arms) for name in one.names),
        low=np.tile(one.low, arms),
        high=np.tile(one.high, arms),
        velocity=np.tile(one.velocity, arms),
        acceleration=np.tile(one.acceleration, arms),
        tracking=np.tile(one.tracking, arms),
        chunk_tolerance=np.tile(one.chunk_tolerance, arms),
        slowdown=Slowdown(
            low=np.tile(slow.low, arms),
            high=np.tile(slow.high, arms),
            offset=np.tile(slow.offset, arms),
            deceleration=np.tile(slow.deceleration, arms),
        ),
        together=np.asarray(np.kron(np.eye(arms), together), dtype=np.float64),
    )
