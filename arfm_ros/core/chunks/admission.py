"""From a chunk as the policy sent it to one that the player may play."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from arfm_ros.core.chunks.player import NS, Start
from arfm_ros.core.chunks.rest import RestClock
from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.safety.limiter import Limiter
from arfm_ros.core.safety.limits import check_chunk
from arfm_ros.core.safety.space import cut
from arfm_ros.core.values.data import ActionChunk

RAMP_MIN_NS, RAMP_MAX_NS = 60_000_000, 400_000_000
PART = 0.7  # of the acceleration limit that speeding up may take
SEEN = 3  # actions whose speed decides how long that takes


@dataclass(frozen=True, slots=True)
class Times:
    """Steady times of a hand-over: when it happens, and to which the command in force belongs."""

    now_ns: int
    in_force_ns: int
    resting: bool  # nothing has been executed since the last tick


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """A chunk as it will be played, how it begins, and why it ends early ('': it does not)."""

    chunk: ActionChunk
    start: Start
    cut_short: str


def admit(
    chunk: ActionChunk, config: ArbiterConfig, limiter: Limiter, rest: RestClock, times: Times
) -> Admitted:
    """Check a chunk of all axes and set its clock: what was not executed is not chased.

    Time at rest since the observation does not count; an action takes `dt / speed`. Raises
    `SafetyError` saying why the chunk cannot be used.
    """
    age_ns = times.now_ns - chunk.stamp_ns
    if age_ns > config.observation_age_max_ns:
        raise SafetyError(f"observation is {age_ns / NS:.1f} s old: inference is too slow")
    actions = check_chunk(chunk, config.limits)
    actions, outside = cut(config.space, actions, limiter.position)
    if not len(actions):
        raise SafetyError(f"chunk: {outside}")
    rest_ns = rest.within(chunk.stamp_ns, times.now_ns, times.resting)
    usable = replace(
        chunk,
        actions=actions.astype(np.float32),
        stamp_ns=chunk.stamp_ns + rest_ns,
        dt_ns=round(chunk.dt_ns / config.speed),
    )
    if not times.resting or chunk.stamp_ns > times.in_force_ns:
        return Admitted(usable, Start(chunk.stamp_ns), outside)
    ramp_ns = _ramp_ns(usable, limiter)
    begins = replace(usable, stamp_ns=times.in_force_ns + ramp_ns // 2)
    return Admitted(begins, Start(chunk.stamp_ns, ramp_ns), outside)


def _ramp_ns(chunk: ActionChunk, limiter: Limiter) -> int:
    """How long the clock of a chunk takes to speed up, so that the arm at rest can follow."""
    path = np.vstack([limiter.position, chunk.actions[:SEEN]])
    speed = np.abs(np.diff(path, axis=0)).max(axis=0) / (chunk.dt_ns / NS)
    speed = np.minimum(speed, limiter.limits.velocity)
    needed_s = float((speed / (PART * limiter.limits.acceleration)).max())
    return int(min(max(needed_s * NS, RAMP_MIN_NS), RAMP_MAX_NS))
