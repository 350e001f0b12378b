"""What the arbiter decides, who may be in charge, and its limits and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from arfm_ros.core.chunks.player import Lead
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.limiter import RunOn, Steps
from arfm_ros.core.safety.limits import F64, Limits
from arfm_ros.core.safety.space import ANYWHERE, Space
from arfm_ros.core.safety.watch import WatchConfig
from arfm_ros.core.sharing.modes import HUMAN as HUMAN
from arfm_ros.core.sharing.modes import POLICY as POLICY
from arfm_ros.core.sharing.modes import WORDS as WORDS
from arfm_ros.core.sharing.modes import Sharing

PAUSED = 3  # periods without a command: where a controller runs on, it did meanwhile
IDLE, SETTLE, HOLD, ESTOP = "idle", "settle", "hold", "estop"
AUTHORITIES = (IDLE, POLICY, HUMAN, WORDS, SETTLE, HOLD, ESTOP)
BY_CHUNK = {POLICY, SETTLE}  # a chunk is played


@dataclass(frozen=True, slots=True)
class Lane:
    """Axes that follow each other in the command vector and that one driver moves together."""

    name: str
    size: int
    lead: Lead | None = None  # makes up for what the controller lags behind
    units: tuple[str, ...] = ()  # of its axes; none: all are of one
    run_on: RunOn | None = None  # what its controller makes of a pause of the commands


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    """Limits and times of the arbiter; without `lanes` all axes are one."""

    limits: Limits
    lanes: tuple[Lane, ...] = ()
    period_ns: int = 10_000_000
    step_max_ns: int = 20_000_000  # a later tick moves no farther than one of this length
    smooth_ns: int = 100_000_000  # what is sent is the mean over so long: bounds the jerk
    speed: float = 1.0  # chunks are played so many times as fast as planned, at most 1
    blend_ns: int = 200_000_000  # hand-over from one chunk to the next
    watch: WatchConfig = WatchConfig()
    space: Space = ANYWHERE  # where the arm may be
    lead: Lead | None = None  # where there is one lane
    run_on: RunOn | None = None  # likewise
    stall_max_ns: int = 100_000_000  # own silence: longer ones end what was under way
    stall_lost_ns: int = 500_000_000  # longer ones hold until a reset
    observation_age_max_ns: int = 5_000_000_000  # an arm at rest waits so long for a chunk
    estop_silence_ns: int = 0  # without an e-stop message for longer it is pressed; 0: never
    human_age_max_ns: int = 200_000_000
    human_blend: float = 1.0  # 0 policy .. 1 human while a human is engaged
    human_approach_rad_s: float = 0.5  # speed at which a distance to the human's target closes
    human_approach_m_s: float = 0.25
    human_approach_openings_s: float = 2.0
    settle_ns: int = 150_000_000  # how long after a chunk its end is still gone to
    sharing: Sharing = Sharing()

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 1.0:
            raise ConfigError(f"speed is {self.speed}, needs to be in (0, 1]")
        axes = sum(lane.size for lane in self.lanes)
        if self.lanes and axes != self.limits.size:
            raise ConfigError(f"lanes have {axes} axes, the limits {self.limits.size}")
        known = {lane.name for lane in self.lanes}
        if not set(self.sharing.assist) <= known:
            named = ", ".join(self.sharing.assist)
            raise ConfigError(f"assist is {named}, needs some of: {', '.join(known)}")

    @property
    def parts(self) -> tuple[tuple[Lane, slice], ...]:
        """The lanes with the columns of each; one of all axes where none were given."""
        lanes = self.lanes or (Lane("robot", self.limits.size, self.lead, run_on=self.run_on),)
        ends = np.cumsum([lane.size for lane in lanes]).tolist()
        return tuple((lane, slice(end - lane.size, end)) for lane, end in zip(lanes, ends))

    def approach_speed(self, unit: str) -> float:
        """Return the speed, per second, at which a distance in `unit` closes."""
        speeds = {"m": self.human_approach_m_s, "1": self.human_approach_openings_s}
        return speeds.get(unit, self.human_approach_rad_s)

    @property
    def steps(self) -> Steps:
        """How the limiter sees time."""
        longest_s, pause_s, smooth_s = (
            ns / 1e9 for ns in (self.step_max_ns, self.stall_max_ns, self.smooth_ns)
        )
        if all(lane.run_on is None for lane, _ in self.parts):
            return Steps(longest_s, pause_s, smooth_s)
        pause_s = min(PAUSED * self.period_ns / 1e9, pause_s)
        return Steps(longest_s, max(pause_s, longest_s), smooth_s, self._run_on)

    def _run_on(self, velocity: F64, seconds: float) -> F64:
        way = np.zeros(velocity.size)
        for lane, own in self.parts:
            if lane.run_on is not None:
                way[own] = lane.run_on(velocity[own], seconds)
        return way


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What to send now; `command` is None only while idle: publish nothing."""

    command: F64 | None  # [A]
    velocity: F64  # [A]
    authority: str
    reason: str = ""
    chunk_id: int = 0  # of the chunk that is played, with its observation stamp
    chunk_stamp_ns: int = 0
    limited: tuple[str, ...] = ()  # kinds of limits that held this command back
    owners: Mapping[str, str] = field(default_factory=dict)  # lane -> authority
