"""A joint_trajectory_controller: trajectories that replace each other long before they end.

A trajectory is stamped now, its first point lies `lead` steps ahead (the controller goes there
from its last command, by a cubic), and it ends at rest: where the path ahead is cut off in motion,
each axis brakes at its own acceleration. If the arbiter dies, the arm stops within its limits.

Each replacement costs a step of two update periods at once (see `sim.jtc`), whatever is sent. So
a path that the controller knows already is not sent again before it gets old; a human's always is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import HUMAN, Decision
from arfm_ros.robots.commands import preflight
from arfm_ros.robots.commands.controller import (
    Ahead,
    Numbers,
    Outgoing,
    Tools,
    Topic,
    command_topic,
    message_names,
)
from arfm_ros.robots.commands.graph import WARN, Finding, Graph
from arfm_ros.robots.commands.messages import JOINT_TRAJECTORY
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import F64, Trajectory
from arfm_ros.robots.robot import Group

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """How trajectories look, and when a new one is sent."""

    name: str = "joint_trajectory_controller"  # in the controller manager, and of its topic
    step_s: float = 0.05  # between points
    lead: int = 3  # steps to the first point: a nearer one makes the controller jerk
    points: int = 20  # from there on
    resend_s: float = 0.5  # of a path that only new chunks change
    human_resend_s: float = 0.1  # of one that a human leads

    def __post_init__(self) -> None:
        if self.points < 2 or self.lead < 1 or not self.step_s > 0.0:
            raise ConfigError(
                f"a trajectory has {self.points} points, needs at least 2; lead is {self.lead}, "
                f"needs at least 1; step_s is {self.step_s}, needs more than 0"
            )
        longest = self.step_s * (self.lead + self.points - 1)
        if not 0.0 < self.resend_s < longest or not 0.0 < self.human_resend_s < longest:
            raise ConfigError(
                f"resend_s {self.resend_s} and human_resend_s {self.human_resend_s} need to be "
                f"shorter than the trajectory, {longest:.2f} s: it would end before"
            )


class JointTrajectoryController:
    """One trajectory for each new chunk or authority, and before the last one gets old."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._options = group, options
        self._numbers, self._names = Numbers(group), message_names(group)
        self._low = np.array([axis.low for axis in group.axes])
        self._high = np.array([axis.high for axis in group.axes])
        self._braking = np.array([axis.acceleration for axis in group.axes])
        self._topic = self.topics(group)[0]
        self._step_ns = round(options.step_s * NS)
        self._sent_ns: int | None = None
        self._sent_for = ("", 0, False)  # authority, chunk, whether anything moves

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic of trajectories."""
        name = f"{self._options.name}/joint_trajectory"
        return (command_topic(group, name, JOINT_TRAJECTORY),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return a trajectory when one is due; with fewer than two points the last one holds."""
        if decision.command is None:
            self._sent_ns = None
            return ()
        moves = bool(decision.velocity.any())
        wanted_for = (decision.authority, decision.chunk_stamp_ns, moves)
        if self._fresh(decision.authority, now_ns) and wanted_for == self._sent_for:
            return ()
        lead = self._options.lead
        positions, velocities = ahead(now_ns, self._step_ns, lead + self._options.points - 1)
        if len(positions) < lead + 1:
            return ()
        self._sent_ns, self._sent_for = now_ns, wanted_for
        return (Outgoing(self._topic, self._trajectory(positions, velocities)),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph and the parameters that decide how trajectories join."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.parameter_joints(self._options.name, self._group, graph),
            *preflight.active(self._options.name, graph),
            *self._parameters(graph),
        )

    def _fresh(self, authority: str, now_ns: int) -> bool:
        human = authority == HUMAN
        period_s = self._options.human_resend_s if human else self._options.resend_s
        return self._sent_ns is not None and 0 <= now_ns - self._sent_ns < round(period_s * NS)

    def _trajectory(self, positions: F64, velocities: F64) -> Trajectory:
        first = self._options.lead - 1  # entry k of a path ahead is k + 1 steps ahead
        tail, slower = self._brake(positions[-1], velocities[-1])
        path = np.concatenate([positions[first:], tail])
        speeds = np.concatenate([velocities[first:], slower])
        times = tuple((first + 1 + k) * self._step_ns for k in range(len(path)))
        numbers = self._numbers
        return Trajectory(self._names, times, numbers.positions(path), numbers.velocities(speeds))

    def _brake(self, position: F64, velocity: F64) -> tuple[F64, F64]:
        """Positions and velocities [K, N] every step until all axes stand, none if they do."""
        needs_s = np.abs(velocity) / self._braking
        count = int(np.ceil(needs_s.max() / self._options.step_s - 1e-9))
        at_s = np.minimum(self._options.step_s * np.arange(1, count + 1)[:, None], needs_s)
        braking = np.sign(velocity) * self._braking
        path = position + at_s * (velocity - 0.5 * braking * at_s)
        within = np.clip(path, np.minimum(position, self._low), np.maximum(position, self._high))
        speeds = np.where(at_s < needs_s, velocity - braking * at_s, 0.0)
        return within, speeds

    def _parameters(self, graph: Graph) -> Sequence[Finding]:
        found = graph.controller(self._options.name)
        told = {} if found is None else found.parameters
        findings = []
        if told.get("interpolate_from_desired_state") is False:
            text = f"{self._options.name} starts each trajectory from the measured state: it jerks"
            findings.append(Finding(WARN, text, "interpolate_from_desired_state: true"))
        if told.get("interpolation_method", "splines") != "splines":
            text = f"{self._options.name} does not interpolate between points: it steps"
            findings.append(Finding(WARN, text, "interpolation_method: splines"))
        return (*findings, *self._tolerances(told))

    def _tolerances(self, told: Mapping[str, object]) -> Iterator[Finding]:
        """Give the axes that the controller stops before the arbiter would.

        A trailing axis beyond its tolerance makes it hold at once, whoever sent the trajectory
        (`JointTrajectoryController::update`).
        """
        for axis in self._group.axes:
            tolerance = told.get(f"constraints.{axis.message_name}.trajectory", 0.0)
            if not isinstance(tolerance, float) or not 0.0 < tolerance * abs(axis.scale):
                continue
            if tolerance * abs(axis.scale) < axis.tracking:
                text = f"{self._options.name} stops when {axis.name} trails by {tolerance:g}"
                knob = f"constraints.{axis.message_name}.trajectory, or the axis's tracking"
                yield Finding(WARN, text, knob)


register(Kind("jtc", Options, JointTrajectoryController, units=("rad", "m", "1")))
