"""How good a scripted expert is: detours, shaky hands, hesitation, failures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError

F64 = NDArray[np.float64]
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quality:
    """Chances and sizes from which each episode draws its flaws."""

    detour_chance: float = 0.0
    detour_m: float = 0.0
    noise_m: float = 0.0
    hesitation_chance: float = 0.0
    failure_chance: float = 0.0
    slow_chance: float = 0.0  # of an episode, or of the part named by `slow_when`
    slow_pace: float = 0.4  # of the speed
    slow_when: str = ""  # "part": half of the episodes before they hold something, half after
    drop_chance: float = 0.0  # the fingers open for a moment, and it is picked up again
    graded: bool = False  # the noise of an episode is drawn from none to `noise_m`
    sure: bool = False  # a hesitation and a detour in every episode
    clumsy: bool = False  # the slow part hesitates and makes a detour, or drops what it holds


QUALITIES: dict[str, Quality] = {
    "full": Quality(),
    "good": Quality(detour_chance=0.2, detour_m=0.06, noise_m=0.003, hesitation_chance=0.2),
    "mixed": Quality(
        detour_chance=0.4, detour_m=0.10, noise_m=0.008, hesitation_chance=0.4, failure_chance=0.25
    ),
    "poor": Quality(
        detour_chance=0.8, detour_m=0.15, noise_m=0.015, hesitation_chance=0.8, failure_chance=0.6
    ),
    # all succeed, some fast and smooth, some slow with detours
    "paces": Quality(detour_m=0.08, slow_chance=0.5),
    # every episode succeeds but holds bad stretches, known by the tick
    "segments": Quality(detour_m=0.10, drop_chance=0.5, sure=True),
    # no episode does the whole task well, parts do
    "stitch": Quality(detour_m=0.08, slow_chance=1.0, slow_when="part"),
    # the same, and the other part is clumsy, not only slow
    "halves": Quality(
        detour_m=0.10, slow_chance=1.0, slow_pace=0.7, slow_when="part", clumsy=True
    ),
    # the same noise in all, from none to much
    "graded": Quality(noise_m=0.03, graded=True),
}


def quality(name: str) -> Quality:
    """Return the quality called `name`. Raises `ConfigError` listing the known ones."""
    if name not in QUALITIES:
        raise ConfigError(f"quality '{name}' is unknown, needs one of {', '.join(QUALITIES)}")
    return QUALITIES[name]


@dataclass(frozen=True, slots=True)
class Flaws:
    """What is wrong with one episode; the default has none.

    Times are simulated. A miss shifts every goal near the table sideways, a limp hand opens
    the gripper from a certain time on.
    """

    detour_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    detour_ns: tuple[int, int] = (0, 0)
    pauses_ns: tuple[tuple[int, int], ...] = ()
    waves: tuple[tuple[float, float, float, float], ...] = ()  # (Hz, phase, x, y) metres
    miss_m: tuple[float, float] = (0.0, 0.0)
    limp_from_ns: int | None = None
    pace: float = 1.0  # part of the speed
    pace_when: str = ""  # "held" or "empty": while it holds something, while it does not
    drops_ns: tuple[tuple[int, int], ...] = ()  # the fingers open in a hurry

    def shift_m(self, time_ns: int, goal_height_m: float) -> F64:
        """Return the shift [3] of the goal."""
        shift = np.zeros(3)
        if self.detour_ns[0] <= time_ns < self.detour_ns[1]:
            shift += self.detour_m
        for hz, phase, x, y in self.waves:
            swing = np.sin(2 * np.pi * hz * time_ns / SECOND_NS + phase)
            shift[:2] += swing * np.array([x, y])
        if goal_height_m < 0.15:
            shift[:2] += self.miss_m
        return shift

    def pausing(self, time_ns: int) -> bool:
        """Tell whether the expert hesitates now."""
        return any(begin <= time_ns < end for begin, end in self.pauses_ns)

    def gripper(self, time_ns: int, wanted: float) -> float:
        """Return the opening that is really commanded."""
        limp = self.limp_from_ns is not None and time_ns >= self.limp_from_ns
        return 1.0 if limp or self._dropping(time_ns) else wanted

    def speed(self, wanted: float, holding: bool) -> float:
        """Return the speed that is really gone at."""
        return wanted * self.pace if self._slowed(holding) else wanted

    def poor(self, time_ns: int, holding: bool) -> bool:
        """Tell whether what is done now is not what a good expert would do."""
        detour = self.detour_ns[0] <= time_ns < self.detour_ns[1]
        odd = detour or self.pausing(time_ns) or self._dropping(time_ns)
        return odd or self.failing or self._slowed(holding)

    def _slowed(self, holding: bool) -> bool:
        when = {"held": holding, "empty": not holding}.get(self.pace_when, True)
        return self.pace < 1.0 and when

    def _dropping(self, time_ns: int) -> bool:
        return any(begin <= time_ns < end for begin, end in self.drops_ns)

    @property
    def failing(self) -> bool:
        """Tell whether the episode is meant to fail."""
        return self.limp_from_ns is not None or self.miss_m != (0.0, 0.0)


def draw_flaws(q: Quality, rng: np.random.Generator, start_ns: int = 0) -> Flaws:
    """Draw the flaws of one episode that begins at `start_ns`."""
    detour, detour_ns = (0.0, 0.0, 0.0), (0, 0)
    if rng.random() < q.detour_chance:
        x, y, z = rng.normal(0.0, q.detour_m, 3)
        detour = (float(x), float(y), float(abs(z)))
        begin = start_ns + int(rng.uniform(0.0, 1.5) * SECOND_NS)
        detour_ns = (begin, begin + int(rng.uniform(0.5, 1.5) * SECOND_NS))
    pauses: list[tuple[int, int]] = []
    while rng.random() < q.hesitation_chance and len(pauses) < 3:
        begin = start_ns + int(rng.uniform(0.2, 4.0) * SECOND_NS)
        pauses.append((begin, begin + int(rng.uniform(0.3, 1.2) * SECOND_NS)))
    waves = tuple(
        (float(hz), float(rng.uniform(0, 6.28)), *map(float, rng.normal(0.0, q.noise_m, 2)))
        for hz in (0.7, 1.9)
        if q.noise_m > 0
    )
    miss, limp = (0.0, 0.0), None
    if rng.random() < q.failure_chance:
        angle = rng.uniform(-np.pi, np.pi)
        miss = (0.06 * float(np.cos(angle)), 0.06 * float(np.sin(angle)))
        if rng.random() < 0.5:
            miss, limp = (0.0, 0.0), start_ns + int(rng.uniform(1.0, 4.0) * SECOND_NS)
    flaws = Flaws(detour, detour_ns, tuple(pauses), waves, miss, limp)
    return _with_stretches(flaws, q, rng, start_ns)


def _with_stretches(flaws: Flaws, q: Quality, rng: np.random.Generator, start_ns: int) -> Flaws:
    """Add what the kinds of data have that a filter cannot tell; others draw nothing more."""
    if q.graded:
        share = float(rng.uniform())
        waves = tuple((hz, phase, share * x, share * y) for hz, phase, x, y in flaws.waves)
        flaws = replace(flaws, waves=waves)
    if q.slow_chance > 0 and rng.random() < q.slow_chance:
        when = str(rng.choice(["held", "empty"])) if q.slow_when else ""
        flaws = replace(flaws, pace=q.slow_pace, pace_when=when)
        flaws = _detoured(flaws, q, rng, start_ns) if when != "held" else flaws
        if q.clumsy:
            flaws = (
                _dropped(flaws, rng, start_ns) if when == "held" else _paused(flaws, rng, start_ns)
            )
    if q.sure:
        flaws = _paused(_detoured(flaws, q, rng, start_ns), rng, start_ns)
    if q.drop_chance > 0 and rng.random() < q.drop_chance:
        flaws = _dropped(flaws, rng, start_ns)
    return flaws


def _paused(flaws: Flaws, rng: np.random.Generator, start_ns: int) -> Flaws:
    begin = start_ns + int(rng.uniform(0.3, 3.0) * SECOND_NS)
    pause = (begin, begin + int(rng.uniform(0.6, 1.5) * SECOND_NS))
    return replace(flaws, pauses_ns=(*flaws.pauses_ns, pause))


def _dropped(flaws: Flaws, rng: np.random.Generator, start_ns: int) -> Flaws:
    begin = start_ns + int(rng.uniform(2.5, 5.0) * SECOND_NS)
    return replace(flaws, drops_ns=((begin, begin + SECOND_NS // 2),))


def _detoured(flaws: Flaws, q: Quality, rng: np.random.Generator, start_ns: int) -> Flaws:
    x, y, z = rng.normal(0.0, q.detour_m, 3)
    begin = start_ns + int(rng.uniform(0.0, 1.5) * SECOND_NS)
    lasts = int(rng.uniform(0.5, 1.5) * SECOND_NS)
    way = (float(x), float(y), float(abs(z)))
    return replace(flaws, detour_m=way, detour_ns=(begin, begin + lasts))
