"""What every kind of controller answers: where it listens, what it is sent, what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.values import F64, Value
from arfm_ros.robots.robot import Group

# Arbiter.preview: now_ns, step_ns, count -> positions and velocities [count, A] ahead; [0, A] idle
Ahead = Callable[[int, int, int], tuple[F64, F64]]
Forward = Callable[[F64], tuple[F64, F64]]  # axes -> position [3] m and quaternion xyzw [4]
COMMAND = "command"  # the role of the topic that every kind has


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, or an action, that a controller listens to."""

    name: str
    interface: str  # package/msg/Type or package/action/Type
    role: str = COMMAND  # key of the group's `command_topics`
    reliable: bool = True
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Something to send now."""

    topic: Topic
    value: Value


class Controller(Protocol):
    """One kind of controller with the settings of one group.

    Decisions and paths ahead hold the group's own axes only (`whole` cuts them out).
    """

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return where commands of `group` go."""

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return what to send at this tick, often nothing."""

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Return what is wrong, or may be, on the robot's side."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What some controllers need from outside; None: not there."""

    forward: Forward | None = None  # of the group's axes, to its tool in its base
    measured: Callable[[], F64 | None] | None = None  # newest position [N] of the group
    heavy: Callable[[], tuple[F64, F64]] | None = None  # largest inertia [N, N], torques [N]


class Numbers:
    """Between our numbers and those of the messages: ours = scale * message + offset."""

    def __init__(self, group: Group) -> None:
        self._scale = np.array([axis.scale for axis in group.axes])
        self._offset = np.array([axis.offset for axis in group.axes])
        if not self._scale.all():
            bad = [axis.name for axis in group.axes if not axis.scale]
            raise ConfigError(f"group '{group.name}': scale of {', '.join(bad)} is 0")

    def positions(self, ours: F64) -> F64:
        """Return positions [..., N] for a message."""
        return np.asarray((ours - self._offset) / self._scale)

    def velocities(self, ours: F64) -> F64:
        """Return velocities [..., N] for a message."""
        return np.asarray(ours / self._scale)


def message_names(group: Group) -> tuple[str, ...]:
    """Return what the axes of a group are called in messages."""
    return tuple(axis.message_name for axis in group.axes)


def command_topic(group: Group, default: str, interface: str) -> Topic:
    """Return the command topic of a group whose controller has no other.

    Raises `ConfigError` when the group names a role that the controller does not have.
    """
    unknown = sorted(set(group.command_topics) - {COMMAND})
    if unknown:
        raise ConfigError(
            f"command_topics of group '{group.name}' has '{unknown[0]}', "
            f"controller {group.controller.kind} has one role: {COMMAND}"
        )
    return Topic(group.command_topics.get(COMMAND, default), interface)
