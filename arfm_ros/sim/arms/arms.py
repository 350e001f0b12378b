"""A robot in the model: the drives and controllers of all groups, together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.commands.whole import columns
from arfm_ros.robots.fr3.gains import JointGains
from arfm_ros.robots.robot import Group
from arfm_ros.sim.arms.build import tool_site
from arfm_ros.sim.arms.drives import Drive, GripDrive, ServoDrive, TorqueDrive
from arfm_ros.sim.arms.joints import find_joints
from arfm_ros.sim.arms.plan import TORQUE, Plan, driven_joints
from arfm_ros.sim.arms.receivers import Receiver, receiver_of
from arfm_ros.sim.robot import GroupState, finite

F64 = NDArray[np.float64]
STEP_NS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    own: slice  # in the command vector
    drive: Drive
    receiver: Receiver
    opens: bool


class Arms:
    """All groups of a robot; `control` is called once every physics step."""

    def __init__(self, plan: Plan, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._plan, self._model, self._data = plan, model, data
        own = columns(plan.robot)
        self._parts: Mapping[str, _Part] = {
            group.name: self._part(group, own[group.name]) for group in plan.robot.groups
        }
        self._home = np.array([axis.home for axis in plan.robot.axes])
        self.openings = np.array([axis.unit == "1" for axis in plan.robot.axes])
        self._now_ns = 0
        self._jacobian = np.zeros((6, model.nv))

    def start(self, arm: Sequence[float] | F64 | None) -> F64:
        """Return the start that is meant, of all axes but grippers [M] (None: home).

        Raises SafetyError for another size, NaN or infinity.
        """
        home = self._home[~self.openings]
        return home if arm is None else finite("arm position", arm, len(home))

    def reset(self, arm: F64, gripper: float) -> None:
        """Put the robot at rest: arms [M] in their order, grippers at an opening."""
        values = self._home.copy()
        values[~self.openings] = arm
        values[self.openings] = min(max(gripper, 0.0), 1.0)
        for part in self._parts.values():
            part.drive.joints.set(self._data, values[part.own])
            part.receiver.forget()
        self._now_ns = 0

    def hold(self) -> None:
        """Make the measured state the target of every group."""
        for part in self._parts.values():
            part.receiver.forget()
            part.drive.hold()

    def control(self) -> None:
        """Compute the motor commands of this millisecond from the current state."""
        for part in self._parts.values():
            part.receiver.step(self._now_ns)
            part.drive.step()
        self._now_ns += STEP_NS

    def command(self, position: F64, velocity: F64) -> None:
        """Have every group go to its part of a command [A], without its controller's messages."""
        count = len(self._home)
        goal, speed = finite("command", position, count), finite("velocity", velocity, count)
        for part in self._parts.values():
            part.receiver.forget()
            part.drive.target(goal[part.own], speed[part.own])

    def open(self, opening: float) -> None:
        """Set the goal of every gripper."""
        for part in self._parts.values():
            if part.opens:
                part.drive.target(np.full(part.own.stop - part.own.start, opening), np.zeros(1))

    def receive(self, group: str, value: Any) -> str:
        """Hand a group's controller a message as plain values; return '' or why it refuses it."""
        return self._parts[group].receiver.take(value, self._now_ns)

    def state(self, group: str) -> GroupState:
        """Return what a group measures."""
        drive = self._parts[group].drive
        at, speed = drive.joints.position(self._data), drive.joints.velocity(self._data)
        return GroupState(at, speed, drive.effort())

    def measured(self) -> F64:
        """Return the positions of all axes [A]."""
        parts = self._parts.values()
        all_ = np.concatenate([part.drive.joints.position(self._data) for part in parts])
        return np.where(self.openings, np.clip(all_, 0.0, 1.0), all_)

    def tool_pose(self, group: str) -> tuple[F64, F64]:
        """Return position [3] and rotation [3, 3] of a group's tool in the scene."""
        site = self._data.site(tool_site(group))
        return site.xpos.copy(), site.xmat.reshape(3, 3).copy()

    def tool_twist(self, group: str) -> F64:
        """Return linear and angular velocity [6] of a group's tool in the scene."""
        jacobian, site = self._jacobian, self._model.site(tool_site(group)).id
        mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], site)
        return np.asarray(jacobian @ self._data.qvel)

    def memory(self) -> Any:
        """Return what the controllers remember from one step to the next."""
        parts = {n: (p.drive.memory(), p.receiver.memory()) for n, p in self._parts.items()}
        return (self._now_ns, parts)

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self._now_ns, parts = memory
        for name, (drive, receiver) in parts.items():
            self._parts[name].drive.recall(drive)
            self._parts[name].receiver.recall(receiver)

    def _part(self, group: Group, own: slice) -> _Part:
        opens = all(axis.unit == "1" for axis in group.axes)
        drive = self._drive(group, opens)
        return _Part(own, drive, receiver_of(group, drive), opens)

    def _drive(self, group: Group, opens: bool) -> Drive:
        joints = find_joints(self._model, group.axes)
        if opens:
            return GripDrive(self._model, self._data, joints, self._lever(group))
        if group.controller.kind in TORQUE:
            return TorqueDrive(self._model, self._data, joints, gains_of(group))
        return ServoDrive(self._model, self._data, joints)

    def _lever(self, group: Group) -> float:
        """Return the distance from a finger's joint to the tool that it holds things at."""
        tree = self._plan.tree
        finger = driven_joints(group.axes[0])[0][0]
        at = next(h for h in tree.above.values() if h.name == finger)
        tools = (arm.group.tool for arm in self._plan.arms if arm.hand and arm.hand.group == group)
        tool = next(tools, at.child)
        way = tree.still_pose(tool).position - tree.still_pose(at.child).position
        return max(float(np.linalg.norm(way)), 0.05)


def gains_of(group: Group) -> JointGains:
    """Return the gains of a group's CRISP controller, as the YAML has them."""
    gains = getattr(make_controller(group), "gains", None)
    if not isinstance(gains, JointGains):
        raise ConfigError(f"group '{group.name}' has no controller of joint impedance")
    return gains
