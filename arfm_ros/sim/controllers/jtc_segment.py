"""Points of a trajectory and the polynomial between two of them, as ros2_controllers has it."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A trajectory_msgs/JointTrajectoryPoint; None: an empty field."""

    time_ns: int  # from the start
    positions: F64  # [N]
    velocities: F64 | None = None
    accelerations: F64 | None = None
    effort: F64 | None = None

    @property
    def speeds(self) -> F64:
        """Velocities, 0 where there are none."""
        return np.zeros(self.positions.size) if self.velocities is None else self.velocities


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A polynomial in the seconds since its begin; rows are powers 0.. of position [P, N]."""

    begin_ns: int
    powers: F64

    def at(self, time_ns: int) -> Point:
        """Position, velocity and acceleration at `time_ns`."""
        t = (time_ns - self.begin_ns) / NS
        position = velocity = acceleration = np.zeros(self.powers.shape[1])
        for row in self.powers[::-1]:  # Horner's scheme for the value and two derivatives
            acceleration = acceleration * t + 2.0 * velocity
            velocity = velocity * t + position
            position = position * t + row
        return Point(0, position, velocity, acceleration)


def segment_between(a: Point, b: Point, begin_ns: int, end_ns: int) -> Segment:
    """Join two points: Trajectory::interpolate_between_points.

    Positions only: a line; velocities at both ends too: a cubic; accelerations as well: a quintic.
    Accelerations without velocities fit none of its branches: it commands position 0.
    """
    accelerates = a.accelerations is not None and b.accelerations is not None
    moves = a.velocities is not None and b.velocities is not None
    if accelerates and not moves:
        return Segment(begin_ns, np.zeros((1, a.positions.size)))
    span = (end_ns - begin_ns) / NS
    rise = b.positions - a.positions
    if a.velocities is None or b.velocities is None or span == 0.0:
        slope = rise / span if span else np.zeros_like(rise)
        return Segment(begin_ns, np.stack([a.positions, slope]))
    v, w = a.velocities, b.velocities
    if a.accelerations is None or b.accelerations is None:
        rows = [
            a.positions,
            v,
            (3.0 * rise - (2.0 * v + w) * span) / span**2,
            (-2.0 * rise + (v + w) * span) / span**3,
        ]
        return Segment(begin_ns, np.stack(rows))
    p, q = a.accelerations * span**2, b.accelerations * span**2
    rows = [
        a.positions,
        v,
        0.5 * a.accelerations,
        (20.0 * rise - (12.0 * v + 8.0 * w) * span - 3.0 * p + q) / (2.0 * span**3),
        (-30.0 * rise + (16.0 * v + 14.0 * w) * span + 3.0 * p - 2.0 * q) / (2.0 * span**4),
        (12.0 * rise - 6.0 * (v + w) * span - p + q) / (2.0 * span**5),
    ]
    return Segment(begin_ns, np.stack(rows))


def turned_near(position: F64, following: F64, wraps: NDArray[np.bool_]) -> F64:
    """Return `position` [N] with whole turns added where it `wraps`: wraparound_joint."""
    if not wraps.any():
        return position
    distance = following - position
    shortest = distance - 2.0 * pi * np.round(distance / (2.0 * pi))
    return np.where(wraps, following - shortest, position)
