"""What a policy's actions mean on a robot: spaces that turn them into joint paths and back.

A space is described by a map that JSON can hold: {"group": "arm", "space": "tool_pose",
"reference": "previous", "rotation": "axis_angle", ...}. docs/robots.md lists spaces and options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.actions.gripper import (
    BinaryOptions,
    GripperBinary,
    GripperOpening,
    OpeningOptions,
    WidthOptions,
)
from arfm_ros.robots.actions.joint import (
    JointPosition,
    JointVelocity,
    PositionOptions,
    VelocityOptions,
)
from arfm_ros.robots.actions.options import read_options, rows, write_options
from arfm_ros.robots.actions.tool import PoseOptions, ToolPose, TwistOptions
from arfm_ros.robots.kinematics.kinematics import Kinematics
from arfm_ros.robots.robot import Group, Robot

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
ArmOf = Callable[[str], Kinematics]  # of a group by its name, only where needed


class ActionSpace(Protocol):
    """Actions [H, D] of one group, and the path [H, A] of its axes that they are."""

    group: Group
    options: Any
    names: tuple[str, ...]  # of the actions [D]

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] of actions [H, D] from the measured positions q [A]."""

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, D] that make `path` [H, A] from q [A]: the inverse."""


@dataclass(frozen=True, slots=True)
class SpaceKind:
    """A space's options, how it is made, and of which kinds of groups."""

    options: type[Any]
    make: Callable[[Group, Any, ArmOf], Any]
    gripper: bool = False
    needs_tool: bool = False


def _tool(group: Group, options: Any, arm_of: ArmOf) -> ToolPose:
    return ToolPose(group, options, arm_of(group.name))


SPACES: Mapping[str, SpaceKind] = {
    "joint_position": SpaceKind(PositionOptions, lambda g, o, _: JointPosition(g, o)),
    "joint_velocity": SpaceKind(VelocityOptions, lambda g, o, _: JointVelocity(g, o)),
    "tool_pose": SpaceKind(PoseOptions, _tool, needs_tool=True),
    "tool_velocity": SpaceKind(TwistOptions, _tool, needs_tool=True),
    "gripper_opening": SpaceKind(OpeningOptions, lambda g, o, _: GripperOpening(g, o), True),
    "gripper_width": SpaceKind(WidthOptions, lambda g, o, _: GripperOpening(g, o), True),
    "gripper_binary": SpaceKind(BinaryOptions, lambda g, o, _: GripperBinary(g, o), True),
}


def read_space(raw: Mapping[str, Any], robot: Robot, arm_of: ArmOf) -> ActionSpace:
    """Make the space that a map describes; raises `ConfigError` naming what does not fit."""
    group = robot.group(str(raw.get("group", "")))
    name = str(raw.get("space", ""))
    kind = SPACES.get(name)
    if kind is None:
        raise ConfigError(
            f"action space of group '{group.name}' is '{name}', needs one of {', '.join(SPACES)}"
        )
    opens = all(axis.unit == "1" for axis in group.axes)
    if kind.gripper and not opens:
        raise ConfigError(f"{name} needs a gripper of unit 1, group '{group.name}' is none")
    if kind.needs_tool and not group.tool:
        raise ConfigError(f"{name} needs a tool, group '{group.name}' names none (key tool)")
    given = {key: value for key, value in raw.items() if key not in ("group", "space")}
    made: ActionSpace = kind.make(group, read_options(kind.options, given, name), arm_of)
    return made


def write_space(space: ActionSpace) -> dict[str, Any]:
    """Return the map that `read_space` makes the same space of."""
    kinds = (name for name, kind in SPACES.items() if kind.options is type(space.options))
    return {"group": space.group.name, "space": next(kinds), **write_options(space.options)}


class RobotActions:
    """The actions of a whole robot: those of its spaces side by side; other groups stay."""

    def __init__(self, robot: Robot, spaces: Sequence[ActionSpace]) -> None:
        groups = [space.group.name for space in spaces]
        twice = [name for name in groups if groups.count(name) > 1]
        if twice:
            raise ConfigError(f"group '{twice[0]}' has two action spaces, needs one")
        self.robot, self.spaces = robot, tuple(spaces)
        self.names = tuple(name for space in spaces for name in space.names)
        ends = np.cumsum([len(space.names) for space in spaces])[:-1]
        self._ends = [int(end) for end in ends]
        self._columns = [[robot.names.index(n) for n in s.group.names] for s in spaces]

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] of all axes for actions [H, D] from q [A]."""
        values = rows(actions, len(self.names), f"actions of robot '{self.robot.name}'")
        path = np.repeat(np.asarray(q, float)[None], len(values), axis=0)
        parts = np.split(values, self._ends, axis=1)
        for space, columns, part in zip(self.spaces, self._columns, parts):
            path[:, columns] = space.to_joints(part, path_start(q, columns))
        return path

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, D] that make `path` [H, A] from q [A]."""
        points = rows(path, len(self.robot.names), "path")
        parts = [
            space.from_joints(points[:, columns], path_start(q, columns))
            for space, columns in zip(self.spaces, self._columns)
        ]
        return np.concatenate(parts, axis=1)


def path_start(q: F64, columns: list[int]) -> F64:
    """Return the measured positions of some axes."""
    return np.asarray(q, dtype=np.float64)[columns]


def read_actions(raw: Sequence[Mapping[str, Any]], robot: Robot, arm_of: ArmOf) -> RobotActions:
    """Make the actions of a robot from a list of maps, one for each group that they move."""
    return RobotActions(robot, [read_space(one, robot, arm_of) for one in raw])


def write_actions(actions: RobotActions) -> list[dict[str, Any]]:
    """Return the list that `read_actions` makes the same of."""
    return [write_space(space) for space in actions.spaces]
