"""Episodes of a policy without ROS, as fast as the machine allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.chunks.seams import Seams, Tick, seams_of
from arfm_ros.core.errors import ConfigError, SimulationError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.safety.smoothness import Smoothness, smoothness_of
from arfm_ros.core.values.data import Policy
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.sim.arms.contract import robot_of
from arfm_ros.sim.drive.driver import MS, TICK_MS, DriverConfig, PolicyDriver
from arfm_ros.sim.perturb import Perturber, always
from arfm_ros.sim.tasks import make_task
from arfm_ros.sim.tasks.task import HELD_MS, Task
from arfm_ros.sim.world import World
from arfm_ros.teleop.devices.scripted import ScriptedHuman

SCRIPTED = "scripted"
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
    smooth: Smoothness = Smoothness()  # of the arm, up to success or the limit
    interventions: int = 0  # how often a person took over, and for how long in all
    human_s: float = 0.0
    views_reused: float = 0.0  # share of the cameras' pictures that were not encoded again
    diverged: bool = False  # the simulator's physics did, which counts as no success

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> RolloutResult:
        """Make a result of what `dataclasses.asdict` made of one."""
        seams, smooth = Seams.from_json(raw["seams"]), Smoothness(**raw.get("smooth", {}))
        return RolloutResult(**{**raw, "seams": seams, "smooth": smooth})


class Rollouts:
    """Runs episodes one after another with one world, one renderer and one policy."""

    def __init__(
        self, policy: Policy | None, spec: PolicySpec, config: DriverConfig | None = None
    ) -> None:
        robot = robot_of(spec.action_names, config.robot if config else "")
        self.world = World(robot)
        self.driver = PolicyDriver(policy, spec, self.world, config)
        self._told = words_of(spec, config.told if config else "")
        self._changed: Perturber | None = None
        if config is not None and config.perturb:
            self._changed = Perturber(self.world, always(config.perturb))
            self.driver.look_through(self._changed.see)

    def close(self) -> None:
        """Free what the cameras hold."""
        self.driver.close()

    def run(self, task_name: str, seed: int, watch: Watch | None = None) -> RolloutResult:
        """Run the episode of `seed`; the same seed gives the same start to every policy."""
        self.begin(task_name, seed)
        while (result := self.tick(watch)) is None:
            pass
        return result

    def begin(self, task_name: str, seed: int, limit_s: float = float("inf")) -> None:
        """Start the episode of `seed`; it ends after `limit_s` or the task's own limit."""
        self._task, self._seed = make_task(task_name), seed
        if self._changed is not None:
            self._changed.begin(seed)
        own = self._task.reset(self.world, np.random.default_rng(seed))
        self._instruction = self._told or own
        if self._changed is not None:
            self._changed.started()
        self.driver.start(self._instruction, seed)
        self._limit_ns = int(min(limit_s, self._task.time_limit_s) * 1e9)
        self._human = _person(self.driver, self.world, self._task, seed)
        self._held_ms, self._ratio, self._before = 0, 0.0, self.driver.measured()
        self._ticks: list[Tick | None] = []
        self._motion: list[tuple[F64, F64, F64]] = []  # joint velocity, tool position, error

    def tick(self, watch: Watch | None = None) -> RolloutResult | None:
        """Advance the episode by a tick; the result with its last one."""
        world, decision = self.world, self.driver.act()
        if watch is not None:
            watch(self._task, decision)
        if self.driver.config.seams:
            self._ticks.append(self.driver.tick_of(decision))
            self._motion.append(self._moved(decision))
        if decision.command is not None:
            self.driver.send(decision)
            self._ratio = max(self._ratio, self._step_ratio(decision.command))
            self._before = decision.command
        try:
            world.step(TICK_MS)
        except SimulationError:
            self._held_ms = 0
            return replace(self._result(), diverged=True)
        self._held_ms = self._held_ms + TICK_MS if self._task.success(world) else 0
        if world.time_ns < self._limit_ns and self._held_ms < HELD_MS:
            return None
        return self._result()

    def _result(self) -> RolloutResult:
        success = self._held_ms >= HELD_MS
        seconds = (self.world.time_ns / MS - (self._held_ms if success else 0)) / 1000
        return RolloutResult(
            self._task.name, self._seed, self._instruction, success, seconds, self.driver.chunks,
            self._ratio, seams_of(self._ticks, TICK_MS / 1000), self._smoothness(),
            *((0, 0.0) if self._human is None else self._human.account()),
            self.driver.views_reused,
        )  # fmt: skip

    def _moved(self, decision: Decision) -> tuple[F64, F64, F64]:
        state = self.world.robot_state()
        command = decision.command
        asked = state.position if command is None else command[~self.world.openings]
        return state.velocity, self.world.tool_pose()[0], asked - state.position

    def _smoothness(self) -> Smoothness:
        if not self._motion:
            return Smoothness()
        velocity, tool, error = (np.array(rows) for rows in zip(*self._motion))
        return smoothness_of(velocity, tool, error, TICK_MS / 1000)

    def _step_ratio(self, command: NDArray[np.float64]) -> float:
        arms = ~self.world.openings
        step = np.abs(command - self._before)[arms]
        return float((step / (self.driver.limits.velocity[arms] * TICK_MS / 1000)).max())


def words_of(spec: PolicySpec, told: str) -> str:
    """Return what is said for a task, whatever the world asks for; "" is said for ""."""
    if told and told not in spec.instructions:
        known = ", ".join(spec.instructions)
        raise ConfigError(f"'{spec.name}' has no instruction for '{told}', but for: {known}")
    return spec.instructions.get(told, "")


def _person(driver: PolicyDriver, world: World, task: Task, seed: int) -> ScriptedHuman | None:
    """Put the person at the controls whom the driver's configuration names; None: nobody."""
    if driver.config.human not in {"", SCRIPTED}:
        raise ConfigError(f"human is '{driver.config.human}', needs '{SCRIPTED}' or nothing")
    if not driver.config.human:
        return None
    human = ScriptedHuman(task.name, seed)

    def hand() -> F64 | None:
        return human.act(world, task.progress(world), world.time_ns, TICK_MS * MS)

    driver.human = hand
    return human
