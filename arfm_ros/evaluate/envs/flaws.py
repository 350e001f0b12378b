"""An environment's expert made worse, by the same qualities as the simulated table's.

What is changed are its actions: steps of a hand or of joints, and openings of grippers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import Axis
from arfm_ros.evaluate.envs.environment import Act
from arfm_ros.robots.embodiment import gripper_columns
from arfm_ros.sim.expert.quality import Quality

F64 = NDArray[np.float64]
DETOUR_M, NOISE_M, NOISE_MAX = 0.0375, 0.019, 2.0  # so many m are a whole action
HELD = 0.5  # of an opening: below it something is held
SPAN_S = 6.0  # within which flaws begin
SPANS = {"pause": (0.3, 1.0), "detour": (0.3, 0.8), "drop": (0.1, 0.25)}  # s
WAVE_S = 0.1
SLIP = 0.6  # part of a whole action by which a failing expert misses


class Flawed:
    """Acts as an expert does, with the flaws that an episode of a quality drew."""

    def __init__(
        self, expert: Act, quality: Quality, axes: Sequence[Axis], rng: np.random.Generator
    ) -> None:
        self._expert, self._rng = expert, rng
        self._hands = np.isin(np.arange(len(axes)), gripper_columns(axes))
        self._size = np.array([0.0 if hand else min(-axis.low, axis.high)
                               for axis, hand in zip(axes, self._hands)])  # fmt: skip
        self._stretches: list[tuple[str, float, float]] = []  # what, from, until; s
        self._bias = self._direction()
        self._wave = np.zeros(len(axes))
        self._draw(quality)

    @property
    def flawed(self) -> bool:
        """Whether anything is wrong with this episode."""
        return bool(self._stretches or self._noise or self.failing or self._pace < 1.0)

    def poor(self, at_s: float) -> bool:
        """Tell whether what is done at a time is worse than the expert would do it."""
        return self.failing or any(begin <= at_s < end for _, begin, end in self._stretches)

    def act(self, seen: Observation, at_s: float, dt_s: float) -> F64:
        """Return the action [A] at a time since the start."""
        action = self._expert(seen)
        moves, doing = ~self._hands, {w for w, a, b in self._stretches if a <= at_s < b}
        if self._noise:  # an Ornstein-Uhlenbeck process: a hand does not shake at 80 Hz
            kept = np.exp(-dt_s / WAVE_S)
            fresh = self._rng.standard_normal(len(action)) * self._size * self._noise
            self._wave = kept * self._wave + np.sqrt(1 - kept**2) * fresh
        changed = self._pace_of(action) * action + self._wave + ("detour" in doing) * self._bias
        changed += self.failing * SLIP * self._slip
        changed = np.clip(changed, -self._size, self._size) * ("pause" not in doing)
        hand = np.where("drop" in doing, 1.0, action)
        return np.where(moves, changed, hand)

    def _pace_of(self, action: F64) -> float:
        """Return the part of the speed: of the episode, or while something is held, or not."""
        holds = bool((action[self._hands] < HELD).any())
        return self._pace if self._slow_when in {"", "held" if holds else "empty"} else 1.0

    def _direction(self) -> F64:
        way = self._rng.standard_normal(len(self._size)) * (self._size > 0)
        return np.asarray(way / max(float(np.linalg.norm(way)), 1e-9) * self._size)

    def _stretch(self, what: str) -> None:
        begin = float(self._rng.uniform(0.0, SPAN_S / 4))
        self._stretches.append((what, begin, begin + float(self._rng.uniform(*SPANS[what]))))

    def _draw(self, quality: Quality) -> None:
        rng = self._rng
        chances = {
            "detour": 1.0 if quality.sure else quality.detour_chance,
            "pause": 1.0 if quality.sure else quality.hesitation_chance,
            "drop": quality.drop_chance,
        }
        for what, chance in chances.items():
            if rng.random() < chance:
                self._stretch(what)
        self._bias = self._bias * min(quality.detour_m / DETOUR_M, 2.0)
        share = float(rng.uniform()) if quality.graded else 1.0
        self._noise = share * min(quality.noise_m / NOISE_M, NOISE_MAX)
        self._pace = quality.slow_pace if rng.random() < quality.slow_chance else 1.0
        parts = ("held", "empty") if quality.slow_when else ("",)
        self._slow_when = parts[int(rng.integers(len(parts)))]
        if quality.clumsy:
            for what in {"held": ("drop",), "empty": ("detour", "pause")}[self._slow_when]:
                self._stretch(what)
        self.failing = bool(rng.random() < quality.failure_chance)
        self._slip = self._direction()
