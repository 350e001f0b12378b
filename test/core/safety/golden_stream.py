"""A long deterministic day at the arbiter: chunks late and early, a human, stops, lost states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import TUNED
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.robots.fr3.space import fr3_space

MS = 1_000_000
TICK_NS, DT_NS, HORIZON = 10 * MS, 50 * MS, 16
HOME = np.append(np.asarray(fr3.HOME), 1.0)
LIMITS = fr3_limits(controller=TUNED)
TABLE = (0.2, -0.5, -1.0, 0.9, 0.5, 0.0)


class Day:
    """The arbiter, a robot that lags, and a policy and a human who make mistakes."""

    def __init__(self, arbiter: Arbiter, seed: int = 0) -> None:
        self.arbiter, self.rng = arbiter, np.random.default_rng(seed)
        self.now = 1_000_000 * MS
        self.measured = HOME.copy()
        self.trace: list[np.ndarray] = []
        self._goal, self._chunk_due, self._sent = HOME.copy(), 0, self.now
        self._human_until = 0
        self._waiting: list[tuple[int, ActionChunk]] = []

    def run(self, ticks: int) -> Iterator[np.ndarray]:
        """Yield command and velocity [2 A] of each tick, zeros while idle."""
        for _ in range(ticks):
            self.now += TICK_NS
            self._inputs()
            decision = self.arbiter.tick(self.now)
            if decision.command is not None:
                self.measured = self.measured + 0.4 * (decision.command - self.measured)
                yield np.concatenate([decision.command, decision.velocity])
            else:
                yield np.zeros(2 * LIMITS.size)

    def _inputs(self) -> None:
        rng, arbiter, now = self.rng, self.arbiter, self.now
        if rng.random() > 0.002:
            arbiter.on_state(self.measured, now - 3 * MS, now)
        if rng.random() < 0.001:
            self.now += int(rng.choice((30, 150, 300))) * MS  # a stall of its own
        self._policy()
        self._person()
        if rng.random() < 0.0005:
            arbiter.on_estop(True, now)
            arbiter.on_estop(False, now)
        if rng.random() < 0.0002:
            arbiter.disengage()
        troubled = arbiter.fault or arbiter.estop.latched or not arbiter.engaged
        if troubled and rng.random() < 0.05:
            try:
                arbiter.reset()
                arbiter.engage(now, self.measured)
            except SafetyError:
                pass

    def _policy(self) -> None:
        rng, now = self.rng, self.now
        if rng.random() < 0.005:
            self._goal = HOME + rng.uniform(-0.6, 0.6, 8)
            self._goal[7] = float(rng.random() < 0.5)
        if now >= self._chunk_due:
            self._chunk_due = now + int(rng.choice((100, 200, 200, 400, 1200))) * MS
            k = np.arange(1, HORIZON + 1)[:, None] / HORIZON
            path = self.measured + (self._goal - self.measured) * k
            path = path + 0.005 * rng.normal(size=path.shape)
            late = int(rng.choice((10, 60, 120, 500))) * MS
            chunk = ActionChunk(path.astype(np.float32), now, DT_NS, LIMITS.names)
            self._waiting.append((now + late, chunk))
        for _, chunk in [one for one in self._waiting if one[0] <= now]:
            self.arbiter.on_chunk(chunk, now)
        self._waiting = [one for one in self._waiting if one[0] > now]

    def _person(self) -> None:
        rng, now = self.rng, self.now
        if rng.random() < 0.001:
            self._human_until = now + int(rng.uniform(0.3, 3.0) * 1e9)
        if not self._human_until:
            return
        if now > self._human_until:
            self._human_until = 0
            self.arbiter.on_human_engaged(False, now)
            return
        self.arbiter.on_human(self._goal, now)


def config(**changes: object) -> ArbiterConfig:
    """Return the arbiter's settings of the recorded day."""
    space = fr3_space((), TABLE, 0.01)
    return ArbiterConfig(LIMITS, lead=TUNED.lead, space=space, **changes)


def digest(ticks: int, settings: ArbiterConfig | None = None) -> tuple[str, np.ndarray]:
    """Return the hash of all commands and every hundredth of them."""
    arbiter = Arbiter(settings or config())
    day = Day(arbiter)
    arbiter.engage(day.now, day.measured)
    seen, kept = hashlib.sha256(), []
    for n, row in enumerate(day.run(ticks)):
        seen.update(row.tobytes())
        if n % 100 == 0:
            kept.append(row)
    return seen.hexdigest(), np.array(kept)
