"""People at a fuzzed arbiter: devices that come and go, requests, words, questions."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.sharing.authority import Ownership
from arfm_ros.core.sharing.modes import MODE, MODES, OWNERS

Call = Callable[[], object]


class People:
    """Ask an arbiter for anything that people may ask for, and for what they may not."""

    def __init__(self, arbiter: Arbiter, rng: np.random.Generator, now: Callable[[], int]) -> None:
        self._arbiter, self._rng, self._now = arbiter, rng, now
        self._authority = arbiter.authority
        self._names = arbiter.config.limits.names
        self._groups = tuple(lane.name for lane in arbiter.lanes.all)
        self._device = self._names  # the axes that the device names
        self.measured: F64 = np.zeros(len(self._names))

    @property
    def calls(self) -> tuple[tuple[float, Call], ...]:
        """How probable each is in a tick."""
        return (
            (0.03, self._press),
            (0.30, self._target),
            (0.02, self._other_device),
            (0.03, self._request),
            (0.005, self._mode),
            (0.005, self._takeover),
            (0.01, self._pause),
            (0.03, self._resume),
            (0.01, self._go),
            (0.005, self._ask),
            (0.03, lambda: self._authority.ask("", self._now())),
            (0.05, lambda: self._authority.disagreement(self._now())),
        )

    def _one(self, *words: str) -> str:
        return str(self._rng.choice(words))

    def _press(self) -> None:
        self._authority.deadman(bool(self._rng.random() < 0.5), self._now())

    def _target(self) -> None:
        wanted = self.measured + self._rng.uniform(-0.05, 0.05, len(self._names))
        if self._rng.random() < 0.1:
            wanted = self._rng.uniform(-4.0, 4.0, len(self._names))
        if self._rng.random() < 0.02:
            wanted[self._rng.integers(len(wanted))] = self._rng.choice((np.nan, np.inf))
        named = {n: w for n, w in zip(self._names, wanted.tolist()) if n in self._device}
        if self._rng.random() < 0.02:
            named["elbow"] = 0.0
        self._authority.target(named, self._now())

    def _other_device(self) -> None:
        some = self._rng.random(len(self._names)) < self._rng.choice((0.2, 0.9, 1.0))
        self._device = tuple(name for name, yes in zip(self._names, some) if yes)

    def _request(self) -> None:
        what = self._one(*self._groups, *self._names, "leg", "")
        self._authority.request(what, self._one(*OWNERS, "nobody"), self._now())

    def _mode(self) -> None:
        self._authority.request(MODE, self._one(*MODES, "party"), self._now())

    def _takeover(self) -> None:
        self._authority.takeover(bool(self._rng.random() < 0.5), self._now())

    def _pause(self) -> None:
        self._authority.pause("stop", self._now())

    def _resume(self) -> None:
        self._authority.resume(self._now())

    def _ask(self) -> None:
        self._authority.ask("asks: go on?", self._now())

    def _go(self) -> None:
        goals = {}
        for lane in self._arbiter.lanes.all:
            if self._rng.random() < 0.6:
                goals[lane.name] = self._rng.uniform(-3.0, 3.0, len(lane.names))
        if goals and self._rng.random() < 0.05:
            goals[next(iter(goals))][0] = np.nan
        self._authority.go("go", goals, bool(self._rng.random() < 0.5), self._now())


def faulty_owners(found: Collection[Ownership], groups: Collection[str]) -> str:
    """Say what is wrong with the owners: each group has exactly one, with a weight in [0, 1]."""
    if sorted(one.group for one in found) != sorted(groups):
        return f"owners are of {', '.join(one.group for one in found)}"
    for one in found:
        weights = [one.weight, *one.axes.values()]
        if one.owner not in OWNERS or not all(0.0 <= w <= 1.0 for w in weights):
            return f"{one.group} has owner {one.owner} with weights {weights}"
    return ""
