"""What the arbiter decides, who may be in charge, and its limits and times."""

from __future__ import annotations

from dataclasses import dataclass

from arfm_ros.core.safety import F64, Limits

IDLE, POLICY, HUMAN = "idle", "policy", "human"
SETTLE, HOLD, ESTOP = "settle", "hold", "estop"
AUTHORITIES = (IDLE, POLICY, HUMAN, SETTLE, HOLD, ESTOP)


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    """Limits and times of the arbiter."""

    limits: Limits
    period_ns: int = 10_000_000
    step_max_ns: int = 20_000_000  # a later tick moves no farther than one of this length
    blend_ns: int = 100_000_000  # hand-over from one chunk to the next
    state_gap_max_ns: int = 100_000_000  # none for longer: hold until there is one again
    state_age_max_ns: int = 250_000_000  # by its stamp, for it may come late: likewise
    state_lost_ns: int = 500_000_000  # older: hold until a reset
    stale_ticks: int = 3  # in a row: a late tick of the arbiter itself is no fault of the robot
    human_age_max_ns: int = 200_000_000
    human_blend: float = 1.0  # 0 policy .. 1 human while a human is engaged
    human_approach_rad_s: float = 0.5  # speed at which a distance to the human's target closes


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
