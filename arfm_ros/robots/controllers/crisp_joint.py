"""CRISP's joint impedance controller: `target_joint`, every tick.

It reads by index, keeps the last target and velocity for ever and ignores everybody when two
publish. The velocity is bounded so that the arm stays by the last target if nothing follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
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
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.messages import JOINT_STATE
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import JointTarget
from arfm_ros.robots.fr3.gains import PUBLISHED, JointGains
from arfm_ros.robots.robot import Group


@dataclass(frozen=True, slots=True)
class Options:
    """What the controller is said to do: null-space gains times weights, and its clamp."""

    stiffness: tuple[float, ...] = PUBLISHED.stiffness  # Nm/rad
    damping: tuple[float, ...] = PUBLISHED.damping  # Nm s/rad
    max_torque_nm: float = PUBLISHED.max_torque_nm
    name: str = "joint_impedance_controller"  # of the controller in the controller manager


class CrispJoint:
    """Position and velocity of the same length every tick, velocity zeros when at rest."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._name = group, options.name
        for name in ("stiffness", "damping"):
            found = len(getattr(options, name))
            if found != len(group.axes):
                raise ConfigError(
                    f"{name} of group '{group.name}' has {found} values, "
                    f"needs {len(group.axes)}: {', '.join(group.names)}"
                )
        self.gains = _gains(options, tools)
        self._numbers, self._names = Numbers(group), message_names(group)
        self._topic = self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic of joint targets."""
        return (command_topic(group, "target_joint", JOINT_STATE),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return the joint target of this tick."""
        if decision.command is None:
            return ()
        position = self._numbers.positions(decision.command)
        velocity = self._numbers.velocities(self.gains.field(decision.velocity))
        value = JointTarget(self._names, position, velocity, self._group.base)
        return (Outgoing(self._topic, value),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph; by index means that the order of the state has to be the same."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.order(self._group, graph, "this controller reads targets by index"),
            *preflight.parameter_joints(self._name, self._group, graph),
            *preflight.active(self._name, graph),
        )


def _gains(options: Options, tools: Tools) -> JointGains:
    """Return the gains, with how heavy the arm is: the FR3's where nothing else is known."""
    gains = (options.stiffness, options.damping, options.max_torque_nm)
    if tools.heavy is None:
        return JointGains(*gains)
    inertia, torque = tools.heavy()
    rows = tuple(tuple(float(x) for x in row) for row in inertia)
    return JointGains(*gains, tuple(float(x) for x in torque), rows)


register(Kind("crisp_joint", Options, CrispJoint, units=("rad",)))
