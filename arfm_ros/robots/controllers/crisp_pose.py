"""CRISP's Cartesian impedance controller: `target_pose`, every tick, by forward kinematics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands import preflight
from arfm_ros.robots.commands.controller import Ahead, Outgoing, Tools, Topic, command_topic
from arfm_ros.robots.commands.graph import Finding, Graph
from arfm_ros.robots.commands.messages import POSE_STAMPED
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import PoseTarget
from arfm_ros.robots.robot import Group


@dataclass(frozen=True, slots=True)
class Options:
    """Where the controller is."""

    name: str = "cartesian_impedance_controller"  # in the controller manager


class CrispPose:
    """The tool pose of the command; no velocity, so nothing outlives the last target."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        if tools.forward is None:
            raise ConfigError(
                f"controller crisp_pose of group '{group.name}' needs forward kinematics: "
                "give the robot's description and the group's base and tool"
            )
        self._group, self._name, self._forward = group, options.name, tools.forward
        self._topic = self.topics(group)[0]

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic of pose targets."""
        return (command_topic(group, "target_pose", POSE_STAMPED),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return the pose target of this tick."""
        if decision.command is None:
            return ()
        pose = PoseTarget(*self._forward(decision.command), self._group.base)
        return (Outgoing(self._topic, pose),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.active(self._name, graph),
        )


register(Kind("crisp_pose", Options, CrispPose, units=("rad", "m")))
