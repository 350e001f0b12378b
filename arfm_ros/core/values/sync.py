"""Find the newest set of samples that belong together, by their stamps.

Several inputs (cameras, joint states) arrive at different rates and delays. A set takes one sample
of each, all within `tolerance_ns` of each other; its stamp is the oldest stamp used, because that
is what a policy's reaction time counts from. Inputs that are `loose` only have to be there: a slow
driver of a gripper neither keeps a set from existing nor makes it older.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

NS = 1_000_000_000
RATE_SAMPLES = 20  # stamps that a rate is measured over
FUTURE_NS = 50_000_000  # a stamp further ahead than this means that clocks differ


@dataclass(frozen=True, slots=True)
class Input:
    """One input: its key, what to call it in messages, and the least rate it may have."""

    name: str
    label: str = ""  # such as "camera wrist"; default: the name
    min_hz: float = 0.0
    knob: str = "min_hz"  # the parameter that sets it, for messages
    loose: bool = False  # changes slowly: what is nearest in time will do, as old as may be

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.label or self.name


@dataclass(frozen=True, slots=True)
class Synced(Generic[T]):
    """One sample of every input; `stamp_ns` is the oldest of `stamps_ns` that is not loose."""

    stamp_ns: int
    values: Mapping[str, T]
    stamps_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no set, one reason for each input that is to blame."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.reasons)


@dataclass(slots=True)
class _Track(Generic[T]):
    """Samples of one input in the order of their stamps."""

    stamps: list[int] = field(default_factory=list)
    values: dict[int, T] = field(default_factory=dict)
    recent: list[int] = field(default_factory=list)  # stamps for the rate, kept longer
    restarts: int = 0


class Synchronizer(Generic[T]):
    """Collect stamped samples and give the newest set of them; not thread-safe."""

    def __init__(
        self, inputs: Iterable[Input], tolerance_ns: int, max_age_ns: int, history: int = 512
    ) -> None:
        self._inputs = {one.name: one for one in inputs}
        self._tolerance_ns, self._max_age_ns = tolerance_ns, max_age_ns
        self._history, self._past_ns = history, 0
        self._tracks: dict[str, _Track[T]] = {name: _Track() for name in self._inputs}

    def remember(self, past_ns: int) -> None:
        """Keep samples so much longer, for `before`."""
        self._past_ns = max(self._past_ns, past_ns)

    def add(self, name: str, stamp_ns: int, value: T) -> None:
        """Add a sample; out of order is fine, the same stamp replaces.

        A stamp far behind the newest one (a restarted simulation or bag) starts that input anew.
        """
        track = self._tracks[name]
        keep_ns = self._max_age_ns + self._tolerance_ns
        if track.stamps and stamp_ns < track.stamps[-1] - keep_ns - FUTURE_NS:
            self._tracks[name] = track = _Track(restarts=track.restarts + 1)
        if stamp_ns not in track.values:
            _insert(track.stamps, stamp_ns)
            _insert(track.recent, stamp_ns)
        track.values[stamp_ns] = value
        del track.recent[:-RATE_SAMPLES]
        expired = bisect_left(track.stamps, track.stamps[-1] - keep_ns - self._past_ns)
        most = self._history * (1 + self._past_ns // max(keep_ns, 1))
        for old in track.stamps[: max(expired, len(track.stamps) - most)]:
            del track.values[old]
        del track.stamps[: len(track.stamps) - len(track.values)]

    def latest(self, now_ns: int) -> Synced[T] | Missing:
        """Give the set with the newest stamp, or say what keeps it from existing."""
        reasons = tuple(r for name in self._inputs if (r := self._trouble(name, now_ns)))
        if reasons:
            return Missing(reasons)
        found = self._newest_set(now_ns)
        return found if found is not None else Missing((self._spread(now_ns),))

    def before(self, synced: Synced[T], stamp_ns: int) -> Synced[T]:
        """Give of each input the sample nearest to `stamp_ns`, none newer than in `synced`."""
        chosen, values = dict(synced.stamps_ns), dict(synced.values)
        for name, newest_ns in synced.stamps_ns.items():
            track = self._tracks[name]
            older = track.stamps[: bisect_right(track.stamps, newest_ns)]
            if older:
                chosen[name] = min(older, key=lambda s: abs(s - stamp_ns))
                values[name] = track.values[chosen[name]]
        bound = [s for name, s in chosen.items() if not self._inputs[name].loose]
        return Synced(min(bound or chosen.values()), values, chosen)

    def rate_hz(self, name: str) -> float:
        """Rate of an input by its last stamps; 0 until two came."""
        recent = self._tracks[name].recent
        if len(recent) < 2 or recent[-1] == recent[0]:
            return 0.0
        return (len(recent) - 1) * NS / (recent[-1] - recent[0])

    def age_ns(self, name: str, now_ns: int) -> int | None:
        """Age of the newest sample, or None when there was none."""
        stamps = self._tracks[name].stamps
        return now_ns - stamps[-1] if stamps else None

    def _trouble(self, name: str, now_ns: int) -> str | None:
        title, age = self._inputs[name].title, self.age_ns(name, now_ns)
        if age is None:
            return f"{title}: nothing received yet"
        if self._tracks[name].stamps[-1] == 0:
            return f"{title}: messages carry no stamp (0), its driver must stamp them"
        if not _usable(self._tracks[name].stamps, now_ns):
            return (
                f"{title}: stamps are {-age / NS:.3g} s in the future: "
                "the clocks of the machines differ (chrony, use_sim_time)"
            )
        return self._slowness(name, age)

    def _slowness(self, name: str, age_ns: int) -> str | None:
        one, rate = self._inputs[name], self.rate_hz(name)
        too_slow = 0.0 < rate < one.min_hz and len(self._tracks[name].recent) > 2
        silent = age_ns > max(self._max_age_ns, 3 * NS / rate if too_slow else 0)
        if silent:
            return (
                f"{one.title}: nothing for {age_ns / NS:.2g} s, "
                f"at most {self._max_age_ns / NS:.2g} s is allowed (max_age_s)"
            )
        if too_slow:
            return f"{one.title} too slow: {rate:.3g} Hz, needs >= {one.min_hz:g} ({one.knob})"
        return None

    def _newest_set(self, now_ns: int) -> Synced[T] | None:
        usable = {name: _usable(track.stamps, now_ns) for name, track in self._tracks.items()}
        tracks = {n: s for n, s in usable.items() if not self._inputs[n].loose} or usable
        oldest = now_ns - self._max_age_ns
        pivots = sorted({s for stamps in tracks.values() for s in stamps if s >= oldest})
        for pivot in reversed(pivots):
            chosen: dict[str, int] = {}
            for name, stamps in tracks.items():
                at = bisect_left(stamps, pivot)
                if at == len(stamps) or stamps[at] > pivot + self._tolerance_ns:
                    break
                chosen[name] = stamps[at]
            else:
                loose = usable.keys() - tracks.keys()
                chosen |= {name: _nearest(usable[name], pivot) for name in loose}
                values = {n: self._tracks[n].values[s] for n, s in chosen.items()}
                return Synced(pivot, values, chosen)
        return None

    def _spread(self, now_ns: int) -> str:
        newest = {
            name: _usable(track.stamps, now_ns)[-1]
            for name, track in self._tracks.items()
            if not self._inputs[name].loose
        }
        first = min(newest, key=lambda n: newest[n])
        last = max(newest, key=lambda n: newest[n])
        return (
            f"{self._inputs[first].title} is {(newest[last] - newest[first]) / 1e6:.3g} ms behind "
            f"{self._inputs[last].title}, at most {self._tolerance_ns / 1e6:.3g} ms is allowed "
            "(tolerance_s)"
        )


def _insert(stamps: list[int], stamp: int) -> None:
    if not stamps or stamp > stamps[-1]:
        stamps.append(stamp)
    elif stamps[bisect_left(stamps, stamp)] != stamp:
        insort(stamps, stamp)


def _nearest(stamps: list[int], stamp: int) -> int:
    return min(stamps, key=lambda one: abs(one - stamp))


def _usable(stamps: list[int], now_ns: int) -> list[int]:
    """Leave out what lies in the future."""
    return stamps[: bisect_left(stamps, now_ns + FUTURE_NS + 1)]
