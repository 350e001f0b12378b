"""The values that pass between the policy node and its worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arfm_ros.core.data import ActionChunk
from arfm_ros.core.reuse import Sameness
from arfm_ros.core.spec import PolicySpec
from arfm_ros.engines import Bundle, EnginePolicy


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A bundle, the policy that runs it, and how it was asked for."""

    bundle: Bundle
    policy: EnginePolicy
    asked: str  # the parameter `bundle`

    @property
    def spec(self) -> PolicySpec:
        """Specification of the policy."""
        return self.bundle.spec


@dataclass(frozen=True, slots=True)
class Pacing:
    """What may change while the worker runs."""

    period_ns: int
    steps: int  # 0: as the bundle says
    seed: int
    deadline_ns: int  # 0: none
    max_failures: int
    guide: bool = True  # chunks follow on from the previous one where the policy can
    sameness: Sameness = Sameness()  # of observations that share a context


@dataclass(frozen=True, slots=True)
class Report:
    """What the worker is up to, for diagnostics."""

    chunks: int = 0
    waiting_for: str = ""  # input trouble; empty while chunks come
    engine_error: str = ""  # of the last inference, empty after a good one
    failures: int = 0  # in a row
    gave_up: bool = False
    cancelled: int = 0  # inferences given up for a new instruction or a takeover


@dataclass(frozen=True, slots=True)
class Ports:
    """What the worker calls, in its thread."""

    publish: Callable[[ActionChunk], None]
    describe: Callable[[ActionChunk, dict[str, int]], None]  # chunk, stage durations in ns
    now_ns: Callable[[], int]  # the clock that stamps the sensors
