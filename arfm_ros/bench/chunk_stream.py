"""Chunks as a policy sends them: smooth, late, and none quite agrees with the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.safety.limits import F64
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import ACTION_NAMES

MS = 1_000_000
NS = 1_000_000_000
HORIZON, DT_NS = 16, 50 * MS
OBSERVE_NS = 400 * MS  # half of a chunk is executed
LATENCY_NS = (60 * MS, 140 * MS)  # from the observation to the chunk, uniform
# Three waves per joint; with them joints reach some 0.7 rad/s and 1.7 rad/s^2
AMPLITUDES_RAD, RATES_RAD_S = np.array((0.25, 0.12, 0.05)), np.array((1.0, 2.3, 4.1))
OFFSET_RAD, DRIFT_RAD_S = 0.01, 0.02  # of a chunk beside the one before, standard deviations
BEGIN_NS = 1_000 * NS
CONSTRUCT: Mapping[str, object] = {
    "horizon": HORIZON,
    "dt_ns": DT_NS,
    "observe_ns": OBSERVE_NS,
    "latency_ns": LATENCY_NS,
    "amplitudes_rad": AMPLITUDES_RAD.tolist(),
    "rates_rad_s": RATES_RAD_S.tolist(),  # each times 0.8 to 1.2
    "offset_rad": OFFSET_RAD,
    "drift_rad_s": DRIFT_RAD_S,
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk and when it comes."""

    at_ns: int
    chunk: ActionChunk


class ChunkStream:
    """A path through the middle of the FR3's range, and noisy chunks of it."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 7])
        low, high = np.array(fr3.POSITION_MIN_RAD), np.array(fr3.POSITION_MAX_RAD)
        self._home = np.array(fr3.HOME)
        self._towards = np.sign(0.5 * (low + high) - self._home)
        self._rates = RATES_RAD_S * self._random.uniform(0.8, 1.2, (fr3.DOF, 3))

    @property
    def start(self) -> F64:
        """Where the path begins, at rest [8]."""
        return np.append(self._home, 1.0)

    def path(self, seconds: F64) -> F64:
        """Positions [T, 7] of the path at times [T] since its begin."""
        waves = AMPLITUDES_RAD * (1.0 - np.cos(seconds[:, None, None] * self._rates))
        return np.asarray(self._home + self._towards * waves.sum(axis=2))

    def arrivals(self, seconds: float) -> Iterator[Arrival]:
        """Give the chunks observed during `seconds`, as they come."""
        ahead_s = np.arange(1, HORIZON + 1) * DT_NS / NS
        for since_ns in range(0, round(seconds * NS), OBSERVE_NS):
            offset, drift = self._random.standard_normal((2, fr3.DOF))
            late_ns = int(self._random.integers(*LATENCY_NS))
            noise = OFFSET_RAD * offset + DRIFT_RAD_S * drift * ahead_s[:, None]
            actions = np.ones((HORIZON, fr3.DOF + 1))
            actions[:, : fr3.DOF] = self.path(since_ns / NS + ahead_s) + noise
            stamp_ns = BEGIN_NS + since_ns
            chunk = ActionChunk(actions.astype(np.float32), stamp_ns, DT_NS, ACTION_NAMES)
            yield Arrival(stamp_ns + late_ns, chunk)
