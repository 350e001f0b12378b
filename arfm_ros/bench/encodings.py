"""Ways to send chunks to a joint_trajectory_controller: those in use elsewhere, and ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from arfm_ros.bench.chunk_stream import BEGIN_NS
from arfm_ros.core.chunks.player import NS, monotone_slopes
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.core.safety.limits import F64
from arfm_ros.core.values.data import ActionChunk
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.values import Trajectory
from arfm_ros.robots.commands.whole import ahead_of, part_of
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.limits import ACTION_NAMES, fr3_limits
from arfm_ros.robots.robot import ControllerChoice, Group, RobotAxis
from arfm_ros.sim.controllers.jtc import JtcMessage
from arfm_ros.sim.controllers.jtc_segment import Point

TICK_NS = 10_000_000
ARM = slice(0, fr3.DOF)


class Encoding(Protocol):
    """How chunks become messages."""

    from_desired: bool  # the controller's interpolate_from_desired_state

    def chunk(self, chunk: ActionChunk, now_ns: int) -> Iterable[JtcMessage]:
        """Return what is sent when a chunk comes."""

    def tick(self, measured: F64, now_ns: int) -> Iterable[JtcMessage]:
        """Return what is sent at a tick of 10 ms; `measured` [7]."""


@dataclass
class ObservationStamped:
    """All of a chunk as it is: stamp of the observation, positions only."""

    from_desired: bool = False

    def chunk(self, chunk: ActionChunk, now_ns: int) -> Iterable[JtcMessage]:
        """Return the whole chunk."""
        due = [(k + 1) * chunk.dt_ns for k in range(chunk.horizon)]
        points = [Point(t, row) for t, row in zip(due, _rows(chunk))]
        return (JtcMessage(fr3.JOINT_NAMES, chunk.stamp_ns, points),)

    def tick(self, measured: F64, now_ns: int) -> Iterable[JtcMessage]:
        """Return nothing."""
        return ()


class PointPerStep:
    """One point per step with time 0: what most bridges send."""

    from_desired = False

    def __init__(self) -> None:
        self._chunk: ActionChunk | None = None
        self._sent_ns = 0

    def chunk(self, chunk: ActionChunk, now_ns: int) -> Iterable[JtcMessage]:
        """Remember the chunk."""
        self._chunk = chunk
        return ()

    def tick(self, measured: F64, now_ns: int) -> Iterable[JtcMessage]:
        """Return the action that is due, once a step."""
        if self._chunk is None or now_ns - self._sent_ns < self._chunk.dt_ns:
            return ()
        self._sent_ns, chunk = now_ns, self._chunk
        k = min((now_ns - chunk.stamp_ns) // chunk.dt_ns, chunk.horizon - 1)
        return (JtcMessage(fr3.JOINT_NAMES, 0, [Point(0, _rows(chunk)[k])]),)


@dataclass
class Trimmed:
    """Points at least `lead` steps ahead of now; with velocities of a spline, or without."""

    lead: int
    velocities: bool
    from_desired: bool

    def chunk(self, chunk: ActionChunk, now_ns: int) -> Iterable[JtcMessage]:
        """Return what of the chunk lies far enough ahead, if two points do."""
        rows, dt_ns = _rows(chunk), chunk.dt_ns
        kept = [k for k in range(len(rows)) if chunk.due_ns(k) >= now_ns + self.lead * dt_ns]
        if len(kept) < 2:
            return ()
        speeds = monotone_slopes(rows, dt_ns / NS)
        points = [
            Point(chunk.due_ns(k) - now_ns, rows[k], speeds[k] if self.velocities else None)
            for k in kept
        ]
        return (JtcMessage(fr3.JOINT_NAMES, now_ns, points),)

    def tick(self, measured: F64, now_ns: int) -> Iterable[JtcMessage]:
        """Return nothing."""
        return ()


class Ours:
    """The arbiter's path, by the `jtc` controller."""

    def __init__(self, start: F64, from_desired: bool = True) -> None:
        self.from_desired = from_desired
        self._arbiter, self._start = Arbiter(ArbiterConfig(fr3_limits())), start
        self._arbiter.engage(BEGIN_NS - TICK_NS, start)
        self._controller = make_controller(fr3_arm("jtc"))
        self.refused = 0

    def chunk(self, chunk: ActionChunk, now_ns: int) -> Iterable[JtcMessage]:
        """Hand the chunk to the arbiter, which answers at its tick."""
        self.refused += self._arbiter.on_chunk(chunk, now_ns) != ""
        return ()

    def tick(self, measured: F64, now_ns: int) -> Iterable[JtcMessage]:
        """Return the trajectories that are due."""
        self._arbiter.on_state(np.append(measured, self._start[fr3.DOF]), now_ns, now_ns)
        decision = part_of(self._arbiter.tick(now_ns), ARM)
        ahead = ahead_of(self._arbiter.preview, ARM)
        values = [out.value for out in self._controller.commands(decision, now_ns, ahead)]
        return [to_jtc(one, now_ns) for one in values if isinstance(one, Trajectory)]


def to_jtc(value: Trajectory, stamp_ns: int) -> JtcMessage:
    """Return a trajectory as the controller gets it."""
    rows = zip(value.times_ns, value.positions, value.velocities)
    return JtcMessage(value.names, stamp_ns, [Point(*row) for row in rows])


def fr3_arm(kind: str) -> Group:
    """Return the FR3's joints with the arbiter's limits and a controller."""
    limits = fr3_limits()
    columns = (limits.low, limits.high, limits.velocity, limits.acceleration)
    axes = tuple(
        RobotAxis(ACTION_NAMES[i], "rad", *(float(column[i]) for column in columns))
        for i in range(fr3.DOF)
    )
    return Group("arm", "arm", axes, ControllerChoice(kind), base=fr3.BASE_FRAME)


def _rows(chunk: ActionChunk) -> F64:
    return np.asarray(chunk.actions[:, ARM], dtype=np.float64)
