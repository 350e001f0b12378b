"""From the arbiter's decisions to a world's robot, by the controllers that it really has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.core.safety.limits import Limits
from arfm_ros.robots.commands.controller import Ahead, Tools
from arfm_ros.robots.commands.whole import WholeRobot, columns
from arfm_ros.robots.files.load import load_robot, robot_names
from arfm_ros.robots.fr3.gains import TUNED, JointGains
from arfm_ros.robots.fr3.limits import fr3_limits
from arfm_ros.robots.limits import limits as robot_limits
from arfm_ros.robots.robot import Robot
from arfm_ros.sim.arms.arms import gains_of
from arfm_ros.sim.arms.plan import TORQUE
from arfm_ros.sim.world import World, is_fr3

F64 = NDArray[np.float64]


class Contract(Protocol):
    """What the arbiter has to know of a robot, and how its decisions get there."""

    limits: Limits

    def lead(self, velocity: F64) -> F64:
        """Return by how many seconds [A] the robot trails a target at `velocity` [A]."""

    def send(self, decision: Decision, ahead: Ahead) -> str:
        """Hand a decision with a command over; return '' or why some of it was refused."""


def contract_of(world: World) -> Contract:
    """Return the contract of a world's robot."""
    return _Fr3Contract(world) if is_fr3(world.robot) else _GroupContract(world)


def robot_of(names: tuple[str, ...], wanted: str = "") -> Robot:
    """Return the robot that policies with these actions move: `wanted`, else by the axes' names.

    Raises `ConfigError` when no robot of config/robots has them, or `wanted` has others.
    """
    for name in (wanted,) if wanted else ("fr3", *robot_names()):
        robot = load_robot(name)
        if robot.names == names:
            return robot
    raise ConfigError(
        f"the policy's actions are {', '.join(names)}; "
        + (f"robot '{wanted}' has others" if wanted else "no robot of config/robots has these")
        + ": name the robot that it was trained on (--robot)"
    )


class _Fr3Contract:
    """CRISP with the gains of config/crisp_fr3.yaml, which the simulated FR3 has."""

    def __init__(self, world: World) -> None:
        self._world, self.limits = world, fr3_limits(controller=TUNED)

    def lead(self, velocity: F64) -> F64:
        return TUNED.lead(velocity)

    def send(self, decision: Decision, ahead: Ahead) -> str:
        assert decision.command is not None
        self._world.command_joints(decision.command[:7], TUNED.field(decision.velocity[:7]))
        self._world.command_gripper(float(decision.command[7]))
        return ""


class _GroupContract:
    """The controllers of `robots.controllers`, whose messages the world's own take."""

    def __init__(self, world: World) -> None:
        self._world, self.limits = world, robot_limits(world.robot)
        groups = world.robot.groups
        tools = {g.name: Tools(measured=partial(_position, world, g.name)) for g in groups}
        self._whole, own = WholeRobot(world.robot, tools), columns(world.robot)
        self._group = {t.name: name for name, ts in self._whole.topics().items() for t in ts}
        self._gains: Mapping[str, tuple[slice, JointGains]] = {
            g.name: (own[g.name], gains_of(g)) for g in groups if g.controller.kind in TORQUE
        }

    def lead(self, velocity: F64) -> F64:
        """At a steady speed K (q_ref - q) = D (dq - sent), see `JointGains.lead`; others: 0."""
        late = np.zeros(velocity.size)
        for own, gains in self._gains.values():
            speed = np.abs(velocity[own])
            part = 1.0 - gains.field(speed) / np.maximum(speed, 1e-6)
            late[own] = np.array(gains.damping) / np.array(gains.stiffness) * part
        return late

    def send(self, decision: Decision, ahead: Ahead) -> str:
        refused = ""
        for outgoing in self._whole.commands(decision, self._world.time_ns, ahead):
            group = self._group[outgoing.topic.name]
            refused = self._world.receive(group, outgoing.value) or refused
        return refused


def _position(world: World, group: str) -> F64:
    return world.state(group).position
