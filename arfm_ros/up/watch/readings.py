"""What the supervisor knows about a run: plain values, filled in by the observer, no ROS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arfm_ros.core.safety.smoothness import Smoothness

# Keys of /diagnostics and policy/chunk_info such as `sensor_to_chunk.p50_ms`.
LATENCY_KEY = re.compile(r"^(?P<stage>.+)[._](?P<quantile>p50|p99|max)_ms$")
STILL_RAD = 2e-3  # a joint that left its place by more than this moves


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """One line of `episode/result`."""

    index: int
    task: str
    seed: int
    success: bool
    seconds: float
    bag: str
    reason: str = ""
    smooth: Smoothness = Smoothness()  # of the arm's motion

    @staticmethod
    def parse(raw: Mapping[str, object]) -> EpisodeResult:
        """Read what rollout_node published."""
        return EpisodeResult(
            index=int(str(raw.get("index", 0))),
            task=str(raw.get("task", "")),
            seed=int(str(raw.get("seed", 0))),
            success=raw.get("success") is True,
            seconds=float(str(raw.get("seconds", 0.0))),
            bag=str(raw.get("bag", "")),
            reason=str(raw.get("reason", "")),
        )


@dataclass(slots=True)
class StreamGap:
    """Rate and largest gap of a stream, from the stamps of its messages."""

    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    largest_gap_ns: int = 0
    stamps_ns: list[int] | None = None  # a list here keeps every stamp

    def add(self, stamp_ns: int) -> None:
        """Take one more message; a stamp before the last one is left out."""
        if self.count == 0:
            self.first_ns = self.last_ns = stamp_ns
        if stamp_ns < self.last_ns:
            return
        self.largest_gap_ns = max(self.largest_gap_ns, stamp_ns - self.last_ns)
        self.last_ns = stamp_ns
        self.count += 1
        if self.stamps_ns is not None:
            self.stamps_ns.append(stamp_ns)

    def between(self, first_ns: int, last_ns: int) -> int:
        """Count the kept stamps from `first_ns` to `last_ns`, both included."""
        return sum(first_ns <= stamp <= last_ns for stamp in self.stamps_ns or ())

    @property
    def rate_hz(self) -> float:
        """Mean rate; 0 before the second message."""
        span_ns = self.last_ns - self.first_ns
        return (self.count - 1) * 1e9 / span_ns if span_ns > 0 else 0.0


@dataclass(slots=True)
class CommandStep:
    """Largest step between two commands as a fraction of what the velocity limit allows."""

    limits: Mapping[str, float]  # joint -> rad/s
    dt_s: float
    largest: float = 0.0
    joint: str = ""
    _last: dict[str, float] = field(default_factory=dict)

    def add(self, names: Sequence[str], positions: Sequence[float], passed_s: float = 0.0) -> None:
        """Take the next command, `passed_s` after the last one; at least a period counts."""
        dt_s = max(self.dt_s, passed_s)
        for name, value in zip(names, positions):
            limit, last = self.limits.get(name), self._last.get(name)
            if limit is not None and last is not None:
                fraction = abs(value - last) / (limit * dt_s)
                if fraction > self.largest:
                    self.largest, self.joint = fraction, name
            self._last[name] = value

    def forget(self) -> None:
        """Start over: the arm was put somewhere else."""
        self._last.clear()


@dataclass(slots=True)
class Readings:
    """Everything observed so far."""

    heard: set[str] = field(default_factory=set)  # topics and services that show a node is ready
    authority: str = ""
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    health: dict[str, dict[str, str]] = field(default_factory=dict)  # node -> values
    complaints: dict[str, str] = field(default_factory=dict)  # node -> message, while not OK
    recorder: dict[str, str] = field(default_factory=dict)
    bags: dict[str, dict[str, str]] = field(default_factory=dict)  # folder -> recorder's counts
    task: dict[str, str] = field(default_factory=dict)
    episodes: list[EpisodeResult] = field(default_factory=list)
    joint_states: StreamGap = field(default_factory=StreamGap)
    frames: dict[str, StreamGap] = field(default_factory=dict)  # camera -> published
    first_motion_s: float | None = None

    def take_values(self, values: Mapping[str, str]) -> None:
        """Keep the stage latencies among the key-value pairs of a diagnostic status."""
        for key, value in values.items():
            match = LATENCY_KEY.match(key)
            if match:
                stage = self.latency_ms.setdefault(match["stage"], {})
                stage[match["quantile"]] = float(value)


@dataclass(slots=True)
class MotionWatch:
    """Say when the arm first moves under a driving authority."""

    _rest: dict[str, float] = field(default_factory=dict)

    def moved(self, driven: bool, names: Sequence[str], positions: Sequence[float]) -> bool:
        """Take the measured joints; return whether one left where it was when driving began."""
        if not driven:
            self._rest = dict(zip(names, positions))
            return False
        return any(
            abs(value - self._rest.get(name, value)) > STILL_RAD
            for name, value in zip(names, positions)
        )
