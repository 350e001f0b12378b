"""A policy at the robot's controls without ROS: inference, delay and the real arbiter.

The time line is simulated: an observation is taken, its chunk arrives `latency_ms` later, the
arbiter ticks every 10 ms, exactly as the nodes do it, but as fast as the machine allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.chunks.chunking import Chunking
from arfm_ros.core.chunks.seams import Tick
from arfm_ros.core.errors import ConfigError, EngineError
from arfm_ros.core.safety.arbiter import Arbiter, ArbiterConfig
from arfm_ros.core.safety.decision import BY_CHUNK, POLICY, Decision
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.values.data import F32, U8, ActionChunk, Observation, Policy
from arfm_ros.core.values.spec import PolicySpec, Rtc
from arfm_ros.sim.arms.contract import contract_of
from arfm_ros.sim.drive.late import LateSight
from arfm_ros.sim.drive.noise import ActionNoise
from arfm_ros.sim.drive.senses import Alter, Senses
from arfm_ros.sim.world import World

TICK_MS = 10
MS = 1_000_000
GREY = 255


@dataclass(frozen=True, slots=True)
class DriverConfig:
    """Timing of the loop and size of the cameras."""

    period_ms: int = 100  # from one inference's observation to the next
    latency_ms: int = 50  # from the observation to its chunk
    steps: int | None = None
    solver: str = ""  # of a flow; "": the policy's
    guide: bool = True  # chunks follow on from the previous one where the policy can
    guidance: str = ""  # of guided chunks, as `Rtc.guidance`; "": the policy's
    schedule: str = ""  # of guided chunks, as `Rtc.schedule`; "": the policy's
    action_noise: float = 0.0  # standard deviation on executed actions, see sim/noise.py
    precision: str = ""  # of the engine; "": float32
    height: int = 240
    width: int = 320
    seams: bool = True  # accelerations are measured
    robot: str = ""  # "": the robot of config/robots whose axes the policy moves
    human: str = ""  # "scripted": one watches the policy and corrects it
    context_ms: int = 0  # pictures are as old as contexts that take this long make them
    reuse_views: float = 0.0  # grey levels within which a camera's part of a context is reused
    perturb: str = ""  # a change of the world, see sim/perturb.py
    told: str = ""  # the task whose words are said, whatever the world asks for; "": its own


class PolicyDriver:
    """Drives one episode after another: `start`, then `act` before every 10 ms of physics.

    Without a policy somebody else makes the chunks: `take` before `act` whenever one is `due`.
    """

    def __init__(
        self,
        policy: Policy | None,
        spec: PolicySpec,
        world: World,
        config: DriverConfig | None = None,
    ) -> None:
        self._policy, self._spec, self._world = policy, spec, world
        self.config = config or DriverConfig()
        self._senses = Senses(spec, world, (self.config.height, self.config.width))
        self._senses.views.limit = _grey_levels(self.config.reuse_views, spec)
        self._sight = LateSight(self._senses, spec, self.config.context_ms)
        self._contract = contract_of(world)
        self.limits = self._contract.limits
        self.human: Callable[[], F64 | None] | None = None  # where a person wants the axes [A]
        self.wish: F64 | None = None  # what it said at the last tick; None: nobody drives
        self.on_chunk: Callable[[ActionChunk], None] | None = None  # called when one arrives

    def start(self, instruction: str, seed: int) -> None:
        """Begin an episode in the state the world is in; `seed` decides all noise."""
        self.instruction = instruction
        self._noise = np.random.default_rng([seed, 1])
        std = self.config.action_noise
        self._disturbance = ActionNoise(std, self._spec, self.limits, seed)
        self._arbiter = Arbiter(ArbiterConfig(self.limits, lead=self._contract.lead))
        self._arbiter.engage(self._world.time_ns, self.measured())
        self._chunking = Chunking(self._spec.rtc if self.config.guide else Rtc())
        self._chunking.ahead_ns = self._arbiter.ahead_ns
        self._pending: list[tuple[int, ActionChunk]] = []
        self._taken_ns, self.wish = -1, None
        self._senses.forget()
        self._sight.forget()
        self.chunks = 0
        self._seen_before = self._seen

    def act(self) -> Decision:
        """Return what the arbiter decides for this tick."""
        now = self._world.time_ns
        self._arrive(now)  # before an observation that it may bind
        self._sight.look(now, self.instruction)
        if self.due:
            period_ns = self.config.period_ms * MS
            self.take(self._infer(self._chunking.prefix(now, self.instruction, period_ns)))
        elif self._will_be_wanted(now):
            self.observe()
        self._arrive(now)  # what was computed in no time
        self._arbiter.on_state(self.measured(), now, now)
        if self.human is None:
            return self._arbiter.tick(now)
        self.wish = self.human()
        self._arbiter.on_human(self.wish, now)
        decision = self._arbiter.tick(now)
        # what a person did meanwhile is not what the chunk before wanted
        self._chunking.in_force = decision.authority in BY_CHUNK
        return decision

    def send(self, decision: Decision) -> str:
        """Hand a decision with a command to the robot; return '' or why it was refused."""
        return self._contract.send(decision, self._arbiter.preview)

    @property
    def due(self) -> bool:
        """Tell whether an observation is to be taken at this tick."""
        now = self._world.time_ns
        fresh = now != self._taken_ns and now % (self.config.period_ms * MS) == 0
        # nothing moves before the first chunk has come, and one computed meanwhile knew nothing
        first_comes = bool(self._pending) and self._arbiter.player.path is None
        return fresh and not first_comes and self._sight.ready and self._chunking.ready(now)

    def _arrive(self, now_ns: int) -> None:
        """Hand over the chunks that have arrived."""
        while self._pending and self._pending[0][0] <= now_ns:
            executed = self._disturbance.on(self._pending.pop(0)[1])
            self.chunks += self._follows(executed, now_ns)
            if self.on_chunk is not None:
                self.on_chunk(executed)

    def _follows(self, chunk: ActionChunk, now_ns: int) -> bool:
        """Hand a chunk to the arbiter and note what it makes of it, as the nodes do."""
        if self._arbiter.on_chunk(chunk, now_ns):
            self._chunking.refuse(chunk.stamp_ns)
            return False
        played = self._arbiter.player.chunk
        if played is not None:
            self._chunking.accept(chunk.stamp_ns, played.stamp_ns, played.dt_ns)
        return True

    def take(self, chunk: ActionChunk) -> None:
        """Take the chunk of this tick's observation; it arrives when the latency has passed."""
        self._taken_ns = self._world.time_ns
        arrives = self._taken_ns + self.config.latency_ms * MS
        self._pending.append((arrives, chunk))
        self._chunking.took_over(chunk, self.instruction, arrives)

    def _will_be_wanted(self, now_ns: int) -> bool:
        """Tell whether a later inference also sees the observation of this tick."""
        history, period_ns = self._spec.history, self.config.period_ms * MS
        ahead = (k * history.spacing_ns for k in range(1, history.count))
        return any((now_ns + by) % period_ns < TICK_MS * MS for by in ahead)

    def noise(self) -> F32:
        """Draw the noise [H, A] of the next chunk."""
        return self._noise.standard_normal(self._spec.flow_shape).astype(np.float32)

    def tick_of(self, decision: Decision) -> Tick | None:
        """Return the arm's command beside the path of the chunk in force; None without one."""
        path = self._arbiter.player.path
        if path is None or decision.command is None or decision.authority != POLICY:
            return None
        own = path.at(self._world.time_ns).position
        arms = ~self._world.openings
        return Tick(decision.chunk_stamp_ns, decision.command[arms], own[arms])

    def look_through(self, alter: Alter) -> None:
        """Let the policy see what `alter` makes of each picture."""
        self._senses.alter = alter

    @property
    def _seen(self) -> tuple[int, int]:
        return self._senses.views.encoded, self._senses.views.reused

    @property
    def views_reused(self) -> float:
        """Share of this episode's pictures that were not encoded again; 0 where there are none."""
        encoded, reused = (now - then for now, then in zip(self._seen, self._seen_before))
        return reused / max(encoded + reused, 1)

    def measured(self) -> NDArray[np.float64]:
        """Return the positions of all axes [A]."""
        return self._world.measured()

    def _infer(self, follows: ActionChunk | None) -> ActionChunk:
        if self._policy is None:
            raise EngineError("an observation is due and nobody handed its chunk over: call take")
        context = self._policy.encode(self.observe())
        return self._policy.sample(context, self.noise(), follows, self.config.steps)

    def close(self) -> None:
        """Free the GL context of the cameras."""
        self._senses.close()

    def picture(self, camera: str) -> U8:
        """Render what a camera of the policy sees now."""
        return self._senses.picture(camera)

    def observe(self) -> Observation:
        """Return what the policy sees now, with the earlier observations of its history."""
        return self._sight.observe(self._world.time_ns, self.instruction)


def _grey_levels(limit: float, spec: PolicySpec) -> float:
    if not 0.0 <= limit <= GREY or (limit and spec.history.count > 1):
        raise ConfigError(
            f"--reuse-views is {limit:g}, needs 0 to {GREY} grey levels and a policy without a "
            f"history; '{spec.name}' sees {spec.history.count} observations"
        )
    return limit
