"""Fuzz the arbiter's core: any message, any dt, a clock in both directions; judge every decision.

A robot of one lane where the seed is even; of two, with people who share it, where it is odd. No
ROS, and no clock but a stopwatch around `tick`: the same seed gives the same run.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import IDLE, ArbiterConfig, Decision, Lane
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.sharing.modes import Sharing
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.faults.people import People, faulty_owners
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import TUNED
from arfm_ros.robots.fr3.limits import fr3_limits

MS, NS = 1_000_000, 1_000_000_000
LIMITS = fr3_limits(controller=TUNED)
HOME = np.append(np.asarray(fr3.HOME), 1.0)
TOLERANCE = 1e-6  # relative, of sums of floats
SHOWN = 10
HORIZON, DT_NS = 16, 50 * MS
LANES = (Lane("arm", 7, TUNED.lead, ("rad",) * 7, TUNED.run_on), Lane("gripper", 1, None, ("1",)))
SHARED = ArbiterConfig(LIMITS, lanes=LANES, sharing=Sharing(give_back_ns=500 * MS))


@dataclass(slots=True)
class FuzzResult:
    """What came out; `violations` are the first few, `over` counts all of them by kind."""

    ticks: int
    seed: int
    authorities: Counter[str] = field(default_factory=Counter)
    over: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    p50_us: float = 0.0
    p99_us: float = 0.0

    def note(self, kind: str, what: str) -> None:
        """Count a broken law."""
        self.over[kind] += 1
        if len(self.violations) < SHOWN:
            self.violations.append(f"{kind}: {what}")

    def text(self) -> str:
        """Return the result for the user."""
        broken = ", ".join(f"{n} {kind}" for kind, n in self.over.items()) or "0 violations"
        shares = ", ".join(f"{k} {n / self.ticks:.2f}" for k, n in self.authorities.most_common())
        times = f"tick p50 {self.p50_us:.0f} µs, p99 {self.p99_us:.0f} µs of the processor"
        return "\n".join([
            f"{self.ticks} ticks, seed {self.seed}: {broken}; {times}",
            shares,
            *self.violations,
        ])

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "injected": self.ticks,
            "violations": sum(self.over.values()),
            "rows": self.violations,
            "over": dict(self.over),
            "seed": self.seed,
            "authorities": dict(self.authorities),
            "tick_us": {"p50": self.p50_us, "p99": self.p99_us},
        }


class Fuzz:
    """An arbiter, a robot that mostly follows, and a source of everything that may come."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.arbiter = Arbiter(SHARED if seed % 2 else ArbiterConfig(LIMITS))
        self.groups = {lane.name for lane in self.arbiter.lanes.all}
        self.now_ns = 1_000 * NS
        self.measured: F64 = HOME.copy()
        self.fresh = True  # the next command begins anew: no command was followed before it
        self._calls = (
            (0.20, self._chunk),
            (0.02, self._bad_chunk),
            (0.005, self._human),
            (0.004, self._human_engaged),
            (0.001, self._estop),
            (0.04, self._reset),
            (0.01, self._engage),
            (0.002, self._disengage),
            (0.01, self._preview),
        )
        self._people = People(self.arbiter, self._rng, lambda: self.now_ns)
        if seed % 2:
            self._calls += self._people.calls
            self._engage()

    def step(self) -> tuple[Decision, int, int]:
        """Let time pass, hand messages over and tick; return decision, dt and duration in ns."""
        dt_ns = self._dt_ns()
        self.now_ns += dt_ns
        self._state()
        self._people.measured = self.measured
        for probability, call in self._calls:
            if self._rng.random() < probability:
                call()
        begin_ns = time.thread_time_ns()  # whoever else computes is no cost of the tick
        decision = self.arbiter.tick(self.now_ns)
        took_ns = time.thread_time_ns() - begin_ns
        if decision.command is not None and self._rng.random() < 0.98:
            self.measured = decision.command.copy()
        return decision, dt_ns, took_ns

    def _dt_ns(self) -> int:
        draw = self._rng.random()
        if draw < 0.97:
            return int(self._rng.integers(8 * MS, 12 * MS))
        if draw < 0.995:
            return int(self._rng.integers(0, 120 * MS))
        if draw < 0.998:
            return int(self._rng.integers(0, 3 * NS))
        if draw < 0.9995:
            return -int(self._rng.integers(0, 200 * MS))
        return int(self._rng.choice((-3600 * NS, -NS, 3600 * NS)))

    def _state(self) -> None:
        draw, position, age_ns = self._rng.random(), self.measured.copy(), 0
        if draw < 0.03:
            return
        if draw < 0.04:
            age_ns = int(self._rng.integers(-2 * NS, 2 * NS))
        elif draw < 0.041:
            position[self._rng.integers(8)] = self._rng.choice((np.nan, np.inf, 1e30, -np.inf))
        elif draw < 0.042:
            position[self._rng.integers(7)] += self._rng.uniform(-0.45, 0.45)
        elif draw < 0.0425:
            position = position[: self._rng.integers(8)]
        self.arbiter.on_state(position, self.now_ns - age_ns, self.now_ns)

    def _path(self) -> F64:
        """Return actions [H, 8] from about where the arm is to anywhere, at any speed."""
        goal = self._rng.uniform(LIMITS.low, LIMITS.high)
        near = self.measured + self._rng.choice((0.05, 0.3, 1.0)) * (goal - self.measured)
        k = np.arange(1, HORIZON + 1)[:, None] / HORIZON
        return np.asarray(self.measured + k * (near - self.measured))

    def _send(self, actions: F64, age_ns: int, dt_ns: int = DT_NS) -> None:
        chunk = ActionChunk(actions.astype(np.float32), self.now_ns - age_ns, dt_ns, LIMITS.names)
        self.arbiter.on_chunk(chunk, self.now_ns)

    def _chunk(self) -> None:
        self._send(self._path(), int(self._rng.integers(0, 200 * MS)))

    def _bad_chunk(self) -> None:
        actions, age_ns, dt_ns = self._path(), 0, DT_NS
        match int(self._rng.integers(6)):
            case 0:
                actions[self._rng.integers(HORIZON)] = self._rng.choice((np.nan, np.inf))
            case 1:
                actions *= self._rng.choice((1e3, 1e30))
            case 2:
                age_ns = int(self._rng.integers(-2 * NS, 10 * NS))
            case 3:
                actions = self._rng.uniform(LIMITS.low, LIMITS.high, actions.shape)
            case 4:
                dt_ns = int(self._rng.integers(1, MS))
            case _:
                actions = actions[:1]
        self._send(actions, age_ns, dt_ns)

    def _human(self) -> None:
        target = self._rng.uniform(LIMITS.low - 0.5, LIMITS.high + 0.5)
        draw = self._rng.random()
        if draw < 0.1:
            target[self._rng.integers(8)] = np.nan
        elif draw < 0.8:
            target = self.measured + self._rng.uniform(-0.05, 0.05, 8)
        self.arbiter.on_human(None if draw > 0.95 else target, self.now_ns)

    def _human_engaged(self) -> None:
        self.arbiter.on_human_engaged(bool(self._rng.random() < 0.1), self.now_ns)

    def _estop(self) -> None:
        self.arbiter.on_estop(bool(self._rng.random() < 0.5), self.now_ns)

    def _reset(self) -> None:
        deaf = self.arbiter.watch.not_following
        try:
            if self._rng.random() < 0.7:
                self.arbiter.on_estop(False, self.now_ns)
            self.arbiter.reset()
        except SafetyError:
            return
        self.fresh = self.fresh or deaf

    def _engage(self) -> None:
        deaf, idle = self.arbiter.watch.not_following, not self.arbiter.engaged
        try:
            self.arbiter.engage(self.now_ns, self.measured)
        except SafetyError:
            return
        self.fresh = self.fresh or deaf or idle

    def _disengage(self) -> None:
        self.arbiter.disengage()

    def _preview(self) -> None:
        self.arbiter.preview(self.now_ns, 10 * MS, 3)


def judge(before: Decision | None, decision: Decision, dt_ns: int, result: FuzzResult) -> None:
    """Check one decision against the laws; `before` is None where the command began anew."""
    command, velocity = decision.command, decision.velocity
    if command is None:
        if decision.authority not in {IDLE, "estop"}:
            result.note("no command", f"while '{decision.authority}'")
        return
    if decision.authority == IDLE:
        result.note("command while idle", decision.reason)
    if not (np.isfinite(command).all() and np.isfinite(velocity).all()):
        result.note("not finite", decision.reason)
        return
    if (command < LIMITS.low - 1e-9).any() or (command > LIMITS.high + 1e-9).any():
        result.note("position", f"{command.tolist()} as {decision.authority}")
    _judge_speed(command, velocity, result)
    if before is not None and before.command is not None:
        _judge_step(before, decision, dt_ns, result)


def _judge_speed(command: F64, velocity: F64, result: FuzzResult) -> None:
    assert LIMITS.slowdown is not None
    down, up = LIMITS.slowdown.speeds(command)
    low = np.maximum(down, -LIMITS.velocity) * (1 + TOLERANCE) - 1e-6
    high = np.minimum(up, LIMITS.velocity) * (1 + TOLERANCE) + 1e-6
    over = np.maximum(velocity - high, low - velocity)
    if (over > 0.0).any():
        worst = int(np.argmax(over))
        where = f"{LIMITS.names[worst]} at {command[worst]:.4f}"
        result.note("velocity", f"{velocity[worst]:.5f} of {where}, {over[worst]:.2e} too fast")


def _judge_step(before: Decision, decision: Decision, dt_ns: int, result: FuzzResult) -> None:
    config = ArbiterConfig(LIMITS)
    dt_s = (config.period_ns if dt_ns < 0 else dt_ns) / NS  # one that goes back counts as a period
    assert before.command is not None and decision.command is not None
    moved = np.abs(decision.command - before.command)
    change = np.abs(decision.velocity - before.velocity)
    for kind, over in (
        ("step", moved - LIMITS.velocity * dt_s * (1 + TOLERANCE) - 1e-9),
        ("acceleration", change - LIMITS.acceleration * dt_s * (1 + TOLERANCE) - 2e-6),
    ):
        if (over > 0.0).any():
            worst = int(np.argmax(over))
            text = f"{LIMITS.names[worst]} by {over[worst]:.2e} in {dt_s * 1e3:.3f} ms"
            result.note(kind, f"{text}, {before.authority} to {decision.authority}")


def _judge_owners(source: Fuzz, decision: Decision, result: FuzzResult) -> None:
    wrong = faulty_owners(source.arbiter.authority.owners(source.now_ns), source.groups)
    if wrong:
        result.note("owner", wrong)
    if decision.command is not None and set(decision.owners) != source.groups:
        result.note("owner", f"decided for {', '.join(decision.owners)}")


def fuzz(ticks: int, seed: int) -> FuzzResult:
    """Run `ticks` ticks and judge each; an exception is a violation and ends the run."""
    result, source = FuzzResult(ticks, seed), Fuzz(seed)
    times = np.zeros(ticks)
    before: Decision | None = None
    for k in range(ticks):
        try:
            decision, dt_ns, took_ns = source.step()
        except Exception as error:  # noqa: BLE001 - the border of what is fuzzed
            result.note("exception", f"tick {k}: {type(error).__name__}: {error}")
            break
        times[k] = took_ns
        _judge_owners(source, decision, result)
        result.authorities[decision.authority] += 1
        judge(None if source.fresh else before, decision, dt_ns, result)
        source.fresh, before = False, decision
    result.p50_us, result.p99_us = (np.percentile(times, (50, 99)) / 1e3).tolist()
    return result
