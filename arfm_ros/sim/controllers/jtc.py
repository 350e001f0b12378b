"""What ros2_controllers' joint_trajectory_controller (Jazzy) does with trajectories it is sent.

Written after its sources, `joint_trajectory_controller.cpp` (JTC below) and `trajectory.cpp`; each
rule names the function it comes from. Not modelled: tolerances, the action, speed scaling, points
without positions (`allow_integration_in_goal_trajectories`), PID (it commands positions).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.controllers.jtc_segment import Point, Segment, segment_between, turned_near

F64 = NDArray[np.float64]
EPSILON = float(np.finfo(np.float32).eps)  # JTC::validate_trajectory_msg takes this for 0


@dataclass(frozen=True, slots=True)
class JtcConfig:
    """Parameters of the controller, with its own defaults."""

    joints: tuple[str, ...]
    update_ns: int = 2_000_000
    interpolate_from_desired_state: bool = False
    allow_nonzero_velocity_at_trajectory_end: bool = False
    allow_partial_joints_goal: bool = False
    effort_interface: bool = False
    continuous: tuple[str, ...] = ()  # joints that wrap around


@dataclass(frozen=True, slots=True, eq=False)
class JtcMessage:
    """A trajectory_msgs/JointTrajectory as plain values; stamp 0: from when it is sampled."""

    joint_names: tuple[str, ...]
    stamp_ns: int
    points: Sequence[Point]


class JtcCore:
    """Hand in messages with `accept`, then call `sample` once an update period."""

    def __init__(self, config: JtcConfig, position: F64) -> None:
        """Hold `position` [N], as after JTC::on_activate."""
        if position.shape != (len(config.joints),):
            raise ConfigError(
                f"position has shape {position.shape}, needs ({len(config.joints)},): "
                f"{', '.join(config.joints)}"
            )
        self.config = config
        self.accepted = 0
        self.rejections: Counter[str] = Counter()  # kind of reason -> messages
        self.reason = ""  # why the last rejected message was rejected
        zero = np.zeros(len(config.joints))
        self._desired = Point(0, position.copy(), zero, zero)  # last command
        self._desired_ns: int | None = None  # when it was sent
        self._new: JtcMessage | None = None
        self._points: Sequence[Point] = ()
        self._due_ns: list[int] = []  # of the points
        self._time_ns = self._updated_ns = 0
        self._before, self._before_ns = self._desired, 0
        self._segments: dict[int, Segment] = {}

    def accept(self, message: JtcMessage, now_ns: int) -> str:
        """Take a message; return '' or why it is rejected.

        JTC::topic_callback: a valid message replaces the old one at once, whatever its stamp.
        """
        kind, reason = self._refusal(message, now_ns)
        if kind:
            self.rejections[kind] += 1
            self.reason = f"{kind}: {reason}"
            return self.reason
        self.accepted += 1
        self._new = message
        return ""

    def sample(
        self, now_ns: int, measured: F64 | None = None, measured_velocity: F64 | None = None
    ) -> tuple[F64, F64]:
        """Do one update; return the commanded position [N] and velocity [N].

        `measured`: state of the joints, without it that of a perfect arm. The command is for the
        next cycle, one period later (JTC::update, `command_next_`).
        """
        if self._new is not None:
            self._replace(self._new, now_ns, measured, measured_velocity)
            self._new = None
        else:
            self._time_ns += now_ns - self._updated_ns
        self._updated_ns = now_ns
        command = (
            self._at(self._time_ns + self.config.update_ns) if self._points else self._desired
        )
        if command is not None:
            self._desired, self._desired_ns = command, now_ns
        return self._desired.positions, self._desired.speeds

    def _replace(
        self, message: JtcMessage, now_ns: int, measured: F64 | None, speed: F64 | None
    ) -> None:
        """Begin a trajectory at the last command or the measured state, JTC::update.

        The last command is that for one period after `last_commanded_time_`, but counts as the one
        of that time: with `interpolate_from_desired_state` a joint at speed v does one step of two
        periods at every replacement, however smooth the messages are.
        """
        self._points = [self._in_order(message, point) for point in message.points]
        self._segments.clear()
        self._time_ns = now_ns
        start_ns = message.stamp_ns or now_ns  # Trajectory::sample, at its first call
        self._due_ns = [start_ns + point.time_ns for point in self._points]
        if self.config.interpolate_from_desired_state:
            self._before = self._desired
            self._before_ns = now_ns if self._desired_ns is None else self._desired_ns
        else:
            position = self._desired.positions if measured is None else measured
            perfect = self._desired.velocities if measured is None else None
            self._before = Point(0, position, perfect if speed is None else speed)
            self._before_ns = now_ns
        wraps = np.isin(self.config.joints, self.config.continuous)
        near = turned_near(self._before.positions, self._points[0].positions, wraps)
        self._before = replace(self._before, positions=near)

    def _at(self, time_ns: int) -> Point | None:
        """Trajectory::sample: None before the state it begins at."""
        if time_ns < self._before_ns:
            return None
        due, points = self._due_ns, self._points
        k = bisect_right(due, time_ns) - 1
        if k < 0:
            return self._segment(k, self._before_ns, due[0]).at(time_ns)
        if k < len(points) - 1:
            return self._segment(k, due[k], due[k + 1]).at(time_ns)
        zero = np.zeros(len(self.config.joints))
        last = points[-1]
        return Point(
            0,
            last.positions,
            last.speeds,
            zero if last.accelerations is None else last.accelerations,
        )

    def _segment(self, k: int, begin_ns: int, end_ns: int) -> Segment:
        if k not in self._segments:
            first = self._before if k < 0 else self._points[k]
            second = self._points[k + 1]
            if k < 0:
                first = _as_rich(first, second)
            self._segments[k] = segment_between(first, second, begin_ns, end_ns)
        return self._segments[k]

    def _in_order(self, message: JtcMessage, point: Point) -> Point:
        """JTC::fill_partial_goal and sort_to_local_joint_order: others hold, by name."""
        place = {name: i for i, name in enumerate(message.joint_names)}

        def sort(values: F64 | None, missing: F64) -> F64 | None:
            if values is None:
                return None
            chosen = [
                values[place[name]] if name in place else missing[i]
                for i, name in enumerate(self.config.joints)
            ]
            return np.array(chosen, dtype=np.float64)

        zero = np.zeros(len(self.config.joints))
        positions = sort(point.positions, self._desired.positions)
        assert positions is not None
        velocities, accelerations = sort(point.velocities, zero), sort(point.accelerations, zero)
        return Point(point.time_ns, positions, velocities, accelerations)

    def _refusal(self, message: JtcMessage, now_ns: int) -> tuple[str, str]:
        """Kind of reason and reason, in the order of JTC::validate_trajectory_msg.

        NaN is not looked for there: it goes through, to the motors.
        """
        names, points, config = message.joint_names, message.points, self.config
        if not config.allow_partial_joints_goal and len(names) != len(config.joints):
            return "joints", f"{len(names)} joints, needs all {len(config.joints)}"
        if not names:
            return "joints", "no joint names"
        if not points:
            return "no points", "the trajectory is empty"
        unknown = [name for name in names if name not in config.joints]
        if unknown:
            return "joints", f"unknown: {', '.join(unknown)}"
        last = points[-1]
        moves = last.velocities is not None and (np.abs(last.velocities) > EPSILON).any()
        if moves and not config.allow_nonzero_velocity_at_trajectory_end:
            return "last velocity", f"{last.velocities} at the end, needs 0"
        if message.stamp_ns and message.stamp_ns + last.time_ns < now_ns:
            late_ms = (now_ns - message.stamp_ns - last.time_ns) / 1e6
            return "past", f"its last point was due {late_ms:.1f} ms ago"
        return self._bad_points(message)

    def _bad_points(self, message: JtcMessage) -> tuple[str, str]:
        """Times and sizes of the points, JTC::validate_trajectory_point_field."""
        count = len(message.joint_names)
        for k, point in enumerate(message.points):
            if k and point.time_ns <= message.points[k - 1].time_ns:
                return "times", f"point {k} is not later than the one before"
            for values in (point.positions, point.velocities, point.accelerations):
                if values is not None and values.shape != (count,):
                    return "sizes", f"point {k} has {values.size} values for {count} joints"
            if point.effort is not None and not self.config.effort_interface:
                return "effort", "there is no effort interface"
        return "", ""


def _as_rich(state: Point, first: Point) -> Point:
    """Trajectory::set_point_before_trajectory_msg: what the first point has is 0 here."""
    zero = np.zeros(state.positions.size)
    velocities, accelerations = state.velocities, state.accelerations
    if velocities is None and first.velocities is not None:
        velocities = zero
    if accelerations is None and first.accelerations is not None:
        accelerations = zero
    return replace(state, velocities=velocities, accelerations=accelerations)
