"""The values that pass between the policy node and its worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arfm_ros.core.chunks.reuse import Sameness
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.core.values.recall import Recall
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import Bundle, EnginePolicy
from arfm_ros.engines.server.remote import RemotePolicy
from arfm_ros.robots.actions.policy import PolicyActions


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A bundle, the policy that runs it, and how it was asked for."""

    bundle: Bundle
    policy: EnginePolicy | RemotePolicy
    asked: str  # the parameter `bundle`
    actions: PolicyActions | None = None  # what they are on the robot; None: joint positions
    axes: tuple[str, ...] = ()  # of the robot, where `actions` are none of them

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
    patience_ns: int = 0  # that errors have to last before giving up
    ask_above: float = 0.0  # difference of two samples that is asked about; 0: one is drawn
    reuse_views: float = 0.0  # grey levels within which a camera's tokens are; 0: never
    obey_unknown: bool = False  # instructions that the policy was not taught


@dataclass(frozen=True, slots=True)
class Report:
    """What the worker is up to, for diagnostics."""

    chunks: int = 0
    waiting_for: str = ""  # input trouble; empty while chunks come
    engine_error: str = ""  # of the last inference, empty after a good one
    failures: int = 0  # in a row
    gave_up: bool = False
    cancelled: int = 0  # inferences given up: another instruction, a takeover, a refused chunk
    refused: int = 0  # chunks that the arbiter did not take
    refusal: str = ""  # why not the last one; empty after one that it took
    delay_ticks: int = 1  # that the next chunk is expected to be late
    too_late: str = ""  # why chunks are computed one after the other at rest


@dataclass(frozen=True, slots=True)
class Ports:
    """What the worker calls, in its thread."""

    publish: Callable[[ActionChunk], None]
    # chunk, stage durations in ns, what it was computed from
    describe: Callable[[ActionChunk, dict[str, int], Recall], None]
    now_ns: Callable[[], int]  # the clock that stamps the sensors
    # difference of two samples, limit -> whether the chunk has to wait for an answer
    doubts: Callable[[float, float], bool] = lambda found, limit: False
