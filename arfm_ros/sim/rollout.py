"""Episodes of a policy without ROS, as fast as the machine allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.data import Policy
from arfm_ros.core.decision import Decision
from arfm_ros.core.seams import Seams, Tick, seams_of
from arfm_ros.core.spec import PolicySpec
from arfm_ros.sim.driver import MS, TICK_MS, DriverConfig, PolicyDriver
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.tasks.task import Task
from arfm_ros.sim.world import World

HELD_MS = 300
Watch = Callable[[Task, Decision], None]  # called at every tick, before the physics goes on


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """How one episode went; `seconds` until success or the time limit."""

    task: str
    seed: int
    instruction: str
    success: bool
    seconds: float
    chunks: int
    step_ratio: float  # largest joint step of a tick over the joint's velocity limit x dt
    seams: Seams = field(default_factory=Seams)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> RolloutResult:
        """Make a result of what `dataclasses.asdict` made of one."""
        return RolloutResult(**{**raw, "seams": Seams.from_json(raw["seams"])})


class Rollouts:
    """Runs episodes one after another with one world, one renderer and one policy."""

    def __init__(
        self, policy: Policy, spec: PolicySpec, config: DriverConfig | None = None
    ) -> None:
        self.world = World()
        self.driver = PolicyDriver(policy, spec, self.world, config)

    def run(self, task_name: str, seed: int, watch: Watch | None = None) -> RolloutResult:
        """Run the episode of `seed`; the same seed gives the same start to every policy."""
        world, driver, task = self.world, self.driver, make_task(task_name)
        instruction = task.reset(world, np.random.default_rng(seed))
        driver.start(instruction, seed)
        held_ms, ratio, before = 0, 0.0, driver.measured()
        ticks: list[Tick | None] = []
        while world.time_ns < task.time_limit_s * 1e9 and held_ms < HELD_MS:
            decision = driver.act()
            if watch is not None:
                watch(task, decision)
            ticks.append(driver.tick_of(decision))
            if decision.command is not None:
                world.command_joints(decision.command[:7], decision.velocity[:7])
                world.command_gripper(float(decision.command[7]))
                ratio = max(ratio, self._step_ratio(decision.command, before))
                before = decision.command
            world.step(TICK_MS)
            held_ms = held_ms + TICK_MS if task.success(world) else 0
        success = held_ms >= HELD_MS
        seconds = (world.time_ns / MS - (held_ms if success else 0)) / 1000
        return RolloutResult(
            task_name, seed, instruction, success, seconds, driver.chunks, ratio,
            seams_of(ticks, TICK_MS / 1000),
        )  # fmt: skip

    def _step_ratio(self, command: NDArray[np.float64], before: NDArray[np.float64]) -> float:
        step = np.abs(command[:7] - before[:7])
        return float((step / (self.driver.limits.velocity[:7] * TICK_MS / 1000)).max())
