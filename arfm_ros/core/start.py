"""How a chunk begins that comes to an arm at rest: nothing of it is skipped or caught up with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arfm_ros.core.data import ActionChunk
from arfm_ros.core.limiter import Limiter
from arfm_ros.core.player import NS, Start

RAMP_MIN_NS, RAMP_MAX_NS = 60_000_000, 400_000_000
PART = 0.7  # of the acceleration limit that speeding up may take
SEEN = 3  # actions whose speed decides how long that takes


def start_of(
    chunk: ActionChunk, observed_ns: int, now_ns: int, resting: bool, limiter: Limiter
) -> tuple[ActionChunk, Start]:
    """Return `chunk` with the stamp at which its clock begins, and how it begins.

    At rest its clock starts now and speeds up to the usual one while the arm does.
    """
    if not resting or observed_ns > now_ns:
        return chunk, Start(observed_ns)
    path = np.vstack([limiter.position, chunk.actions[:SEEN]])
    speed = np.abs(np.diff(path, axis=0)).max(axis=0) / (chunk.dt_ns / NS)
    speed = np.minimum(speed, limiter.limits.velocity)
    needed_s = float((speed / (PART * limiter.limits.acceleration)).max())
    ramp_ns = int(min(max(needed_s * NS, RAMP_MIN_NS), RAMP_MAX_NS))
    return replace(chunk, stamp_ns=now_ns + ramp_ns // 2), Start(observed_ns, ramp_ns)
