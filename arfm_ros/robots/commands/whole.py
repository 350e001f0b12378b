"""Every controller of a robot, each with the part of the decision that is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands.controller import Ahead, Outgoing, Tools, Topic
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.values import F64
from arfm_ros.robots.robot import Robot


class WholeRobot:
    """The controllers of all groups, in the order of the command vector."""

    def __init__(self, robot: Robot, tools: Mapping[str, Tools] | None = None) -> None:
        given = tools or {}
        self.controllers = {g.name: make_controller(g, given.get(g.name)) for g in robot.groups}
        self._columns = columns(robot)
        self._robot = robot
        _check_apart(self.topics())

    def topics(self) -> Mapping[str, tuple[Topic, ...]]:
        """Return the command topics by group."""
        return {g.name: self.controllers[g.name].topics(g) for g in self._robot.groups}

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return what to send at this tick to all controllers; the path ahead is made once."""
        paths: dict[tuple[int, int], tuple[F64, F64]] = {}

        def once(at_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
            key = (step_ns, count)
            if key not in paths:
                paths[key] = ahead(at_ns, step_ns, count)
            return paths[key]

        sent: list[Outgoing] = []
        for name, controller in self.controllers.items():
            own = self._columns[name]
            sent += controller.commands(part_of(decision, own), now_ns, ahead_of(once, own))
        return sent

    def preflight(self, graph: Graph) -> Mapping[str, Sequence[Finding]]:
        """Return what was found, by group."""
        return {name: one.preflight(graph) for name, one in self.controllers.items()}


def columns(robot: Robot) -> Mapping[str, slice]:
    """Return where each group is in the command vector."""
    found, begin = {}, 0
    for group in robot.groups:
        found[group.name] = slice(begin, begin + len(group.axes))
        begin += len(group.axes)
    return found


def part_of(decision: Decision, own: slice) -> Decision:
    """Return a decision on some columns only."""
    command = None if decision.command is None else decision.command[own]
    return replace(decision, command=command, velocity=decision.velocity[own])


def ahead_of(ahead: Ahead, own: slice) -> Ahead:
    """Return the path ahead on some columns only."""

    def part(now_ns: int, step_ns: int, count: int) -> tuple[F64, F64]:
        positions, velocities = ahead(now_ns, step_ns, count)
        return positions[:, own], velocities[:, own]

    return part


def _check_apart(topics: Mapping[str, tuple[Topic, ...]]) -> None:
    """Raise `ConfigError` when two groups would speak on one topic."""
    taken: dict[str, str] = {}
    for group, ours in topics.items():
        for topic in ours:
            if topic.name in taken:
                raise ConfigError(
                    f"groups {taken[topic.name]} and {group} both command {topic.name}: "
                    "give command_topics or the controller's name"
                )
            taken[topic.name] = group
