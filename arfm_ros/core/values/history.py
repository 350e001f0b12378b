"""Policies that see more than the present: which earlier observations belong to the newest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import Observation


@dataclass(frozen=True, slots=True)
class History:
    """How many observations the network sees, the newest included, and the time between two."""

    count: int = 1
    spacing_ns: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or (self.count > 1 and self.spacing_ns <= 0):
            raise SpecError(
                f"history of {self.count} observations every {self.spacing_ns} ns, needs at least "
                "1, and a positive time between two"
            )

    @property
    def span_ns(self) -> int:
        """Time from the oldest to the newest."""
        return (self.count - 1) * self.spacing_ns

    def earlier_ns(self, newest_ns: int) -> tuple[int, ...]:
        """Return the stamps that the earlier observations should have, oldest first."""
        return tuple(newest_ns - k * self.spacing_ns for k in reversed(range(1, self.count)))

    def complete(self, observation: Observation) -> tuple[Observation, ...]:
        """Return all `count` observations, oldest first; what is missing repeats the oldest."""
        have = (*observation.earlier, observation)[-self.count :]
        return (have[0],) * (self.count - len(have)) + have


class Recent:
    """Keep the latest observations and join those that belong to a new one."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept: list[Observation] = []

    def note(self, observation: Observation) -> None:
        """Keep an observation; one from before those kept (a new episode) starts anew."""
        newest_ns, span_ns = observation.stamp_ns, self._history.span_ns
        oldest_ns = newest_ns - span_ns - self._history.spacing_ns
        self._kept = [o for o in self._kept if oldest_ns <= o.stamp_ns < newest_ns]
        if span_ns:
            self._kept.append(replace(observation, earlier=()))

    def join(self, observation: Observation) -> Observation:
        """Keep an observation and return it with the earlier ones, each the nearest in time."""
        self.note(observation)
        wanted = self._history.earlier_ns(observation.stamp_ns)
        return replace(observation, earlier=tuple(_nearest(self._kept, at) for at in wanted))


def _nearest(observations: Iterable[Observation], stamp_ns: int) -> Observation:
    return min(observations, key=lambda one: abs(one.stamp_ns - stamp_ns))
