"""The robot that an arbiter drives: its controllers, limits, lanes and space, by parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Lane
from arfm_ros.core.safety.limits import F64, Limits
from arfm_ros.core.safety.space import Space
from arfm_ros.nodes.arbiter.actions import is_action
from arfm_ros.robots import limits as robot_limits
from arfm_ros.robots.commands.controller import COMMAND, Tools
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.whole import WholeRobot, columns
from arfm_ros.robots.fr3 import frames
from arfm_ros.robots.fr3.gains import JointGains
from arfm_ros.robots.fr3.space import fr3_space
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.robots.limits import Clamps, clamps_of
from arfm_ros.robots.robot import ControllerChoice, Group, Robot

CRISP_JOINT = "crisp_joint"
Measured = Callable[[], "F64 | None"]


def with_controller(robot: Robot, kind: str, topic: str, options: Mapping[str, Any]) -> Robot:
    """Return the robot with what parameters say about the controllers of its arms.

    `kind` "": the robot's own. `options` count where the controller is CRISP's.
    """

    def changed(group: Group) -> Group:
        if group.kind != "arm":
            return group
        choice = group.controller
        if kind and kind != choice.kind:
            choice = ControllerChoice(kind)
        if choice.kind == CRISP_JOINT:
            choice = replace(choice, options={**choice.options, **options})
        topics = {**group.command_topics, COMMAND: topic} if topic else group.command_topics
        if kind and kind != group.controller.kind and not topic:
            topics = {}
        return replace(group, controller=choice, command_topics=topics)

    return replace(robot, groups=tuple(changed(group) for group in robot.groups))


def with_plain_grippers(robot: Robot) -> Robot:
    """Return the robot with numbers on CONTROLLER/commands where its grippers have actions.

    As the simulation has it where control_msgs is not installed.
    """

    def plain(group: Group) -> Group:
        (topic, *_) = make_controller(group).topics(group) if group.kind == "gripper" else (None,)
        if topic is None or not is_action(topic):
            return group
        name = f"{topic.name.rpartition('/')[0]}/commands"
        return replace(
            group,
            controller=ControllerChoice("float64_array"),
            command_topics={COMMAND: name},
        )

    return replace(robot, groups=tuple(plain(group) for group in robot.groups))


class DrivenRobot:
    """A robot with its controllers; what they can follow limits the command."""

    def __init__(self, robot: Robot, measured: Measured) -> None:
        self.robot, self._columns = robot, columns(robot)
        self._measured, self._franka = measured, frames.is_arm(robot)
        self.whole = WholeRobot(robot, {g.name: self._tools(g) for g in robot.groups})
        self.gains: dict[str, JointGains] = {
            name: controller.gains
            for name, controller in self.whole.controllers.items()
            if hasattr(controller, "gains")
        }

    def lanes(self) -> tuple[Lane, ...]:
        """Return a lane for each group."""
        lanes = []
        for g in self.robot.groups:
            gains = self.gains.get(g.name)
            law = (None, None) if gains is None else (gains.lead, gains.run_on)
            units = tuple(axis.unit for axis in g.axes)
            lanes.append(Lane(g.name, len(g.axes), law[0], units, law[1]))
        return tuple(lanes)

    def limits(self, margin_rad: float, scales: tuple[float, float], tracking: float) -> Limits:
        """Return the limits [A]; `scales` of velocity and acceleration.

        A margin or tracking limit below 0 is the robot's own.
        """
        return robot_limits.limits(
            self.robot,
            None if margin_rad < 0.0 else margin_rad,
            *scales,
            None if tracking < 0.0 else tracking,
            self._clamps(),
        )

    def space(self, room: tuple[float, ...], keep_out: tuple[float, ...], near: float) -> Space:
        """Return where the robot may be: `room` stands in for its own, `keep_out` is added."""
        room, keep_out = room or self.robot.workspace, (*self.robot.keep_out, *keep_out)
        if self._franka:
            return fr3_space(room, keep_out, near)
        from arfm_ros.robots.space import arms_space  # pinocchio: only where it is asked for

        return arms_space(self.robot, room, keep_out, near)

    def _clamps(self) -> Clamps | None:
        if not self.gains:
            return None
        parts = ((self._columns[name], gains) for name, gains in self.gains.items())
        return clamps_of(len(self.robot.names), parts)

    def _tools(self, group: Group) -> Tools:
        kind, own = group.controller.kind, self._columns[group.name]

        def part() -> F64 | None:
            whole = self._measured()
            return None if whole is None or not np.isfinite(whole).all() else whole[own]

        if kind == "crisp_pose":
            return Tools(forward=self._forward(group), measured=part)
        if kind == CRISP_JOINT and not (group is self.robot.groups[0] and self._franka):
            return Tools(measured=part, heavy=partial(_heavy, self.robot, group.name))
        return Tools(measured=part)

    def _forward(self, group: Group) -> Callable[[F64], tuple[F64, F64]]:
        chain = Chain(self.robot, group.name)

        def forward(q: F64) -> tuple[F64, F64]:
            pose = chain.forward(q)
            return pose.position, pose.quaternion

        return forward


def _heavy(robot: Robot, group: str) -> tuple[F64, F64]:
    """Return the largest inertia [A, A] and the torques [A] of an arm."""
    from arfm_ros.robots.kinematics.inertia import inertia_max, torque_max

    if not robot.description:
        raise ConfigError(f"robot '{robot.name}' has no description: its inertia is not known")
    return inertia_max(robot, group), torque_max(robot, group)
