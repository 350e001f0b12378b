"""The simulated table as an environment: a robot goes to each action in the time of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SimulationError
from arfm_ros.core.safety.decision import POLICY, Decision
from arfm_ros.core.values.data import Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.evaluate.envs.environment import Kind, Step
from arfm_ros.sim.arms.contract import contract_of, robot_of
from arfm_ros.sim.drive.senses import Senses
from arfm_ros.sim.tasks import TASKS, make_task
from arfm_ros.sim.tasks.task import HELD_MS, Task
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]
TICK_MS, NS_MS = 10, 1_000_000


class Tabletop:
    """One world for the policy of `spec`; its actions are positions of all axes."""

    def __init__(
        self, spec: PolicySpec, robot: str = "", size: tuple[int, int] = (240, 320)
    ) -> None:
        self._world = World(robot_of(spec.action_names, robot))
        self._senses = Senses(spec, self._world, size)
        self._contract = contract_of(self._world)
        self._ticks = max(1, round(spec.dt_ns / NS_MS / TICK_MS))
        self._task: Task = make_task("reach")
        self._instruction, self._held_ms = "", 0

    def reset(self, task: str, seed: int) -> Observation:
        """Start an episode; raises `ConfigError` for an unknown task."""
        self._task = make_task(task)
        self._instruction = self._task.reset(self._world, np.random.default_rng(seed))
        self._senses.forget()
        self._held_ms, self._asked = 0, self._world.measured()
        self._seen = self._senses.observe(self._instruction)
        return self._seen

    def step(self, action: F64) -> Step:
        """Go to positions [A] in a straight line of the axes, at limited speeds."""
        limits, begin = self._contract.limits, self._asked
        span_s = self._ticks * TICK_MS / 1000
        way = np.clip(
            np.clip(action, limits.low, limits.high) - begin, *_most(limits.velocity, span_s)
        )
        for tick in range(1, self._ticks + 1):
            self._send(begin, way, tick, span_s)
            try:
                self._world.step(TICK_MS)
            except SimulationError:  # nothing can be seen or done any more
                return Step(self._seen, 0.0, False, True)
            held = self._task.success(self._world)
            self._held_ms = self._held_ms + TICK_MS if held else 0
        self._asked = begin + way
        success = self._held_ms >= HELD_MS
        over = success or self._world.time_ns >= self._task.time_limit_s * 1e9
        self._seen = self._senses.observe(self._instruction)
        return Step(self._seen, self._task.progress(self._world), success, over)

    def close(self) -> None:
        """Free the GL context of the cameras."""
        self._senses.close()

    def _send(self, begin: F64, way: F64, tick: int, span_s: float) -> None:
        """Hand over the command of a tick, and to whom asks the straight line ahead."""

        def ahead(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
            later = tick / self._ticks + (np.arange(1, count + 1) * step_ns / 1e9 / span_s)
            share = np.minimum(later, 1.0)[:, None]
            return begin + share * way, np.where(later[:, None] < 1.0, way / span_s, 0.0)

        part = tick / self._ticks
        self._contract.send(Decision(begin + part * way, way / span_s, POLICY), ahead)


def _most(velocity: F64, span_s: float) -> tuple[F64, F64]:
    return -velocity * span_s, velocity * span_s


def tasks(named: str) -> tuple[str, ...]:
    """Return the task that is named; '' for all. Raises `ConfigError` listing the known ones."""
    return (make_task(named).name,) if named else tuple(TASKS)


TABLETOP = Kind(tasks, Tabletop)
