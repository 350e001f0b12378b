"""What a robot measures and is commanded: axes with names, units and limits, of any arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import filter as filter_names
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.spec import Axis, PolicySpec
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import Robot

DEFAULT = "fr3"  # the robot of episodes that name its joints and no other
OPENING = "1"  # the unit of a gripper: 0 closed, 1 open
UNITS = {"revolute": "rad", "continuous": "rad", "prismatic": "m"}  # type of a joint in a URDF


@dataclass(frozen=True, slots=True)
class Embodiment:
    """The axes of the state and of the actions; those of unit 1 are grippers."""

    state: tuple[Axis, ...]
    action: tuple[Axis, ...]

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state."""
        return tuple(axis.name for axis in self.state)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions [A]."""
        return tuple(axis.name for axis in self.action)

    @property
    def relative(self) -> tuple[bool, ...]:
        """Whether an action is learned as an offset [A]: that of a joint that is measured."""
        measured = set(self.state_names)
        return tuple(a.unit != OPENING and a.name in measured for a in self.action)

    def seeing(self, wanted: Sequence[str]) -> Embodiment:
        """Keep of the state what is named, in its order; `hand_*` names several, nothing all.

        Raises `ConfigError` for a name that nothing has.
        """
        idle = [name for name in wanted if not filter_names(self.state_names, name)]
        if idle:
            raise ConfigError(
                f"--state {','.join(idle)}: measured are {', '.join(self.state_names)}"
            )
        kept = [a for a in self.state if not wanted or any(fnmatch(a.name, n) for n in wanted)]
        return replace(self, state=tuple(kept))

    @staticmethod
    def of(robot: Robot, groups: Sequence[str] = ()) -> Embodiment:
        """Take the axes of a robot, in the order of its groups; those of `groups` alone if any."""
        wanted = [g for g in robot.groups if not groups or g.name in groups]
        axes = tuple(Axis(a.name, a.unit, a.low, a.high) for g in wanted for a in g.axes)
        return Embodiment(axes, axes)

    @staticmethod
    def of_policy(spec: PolicySpec, objects: int = 0) -> Embodiment:
        """Take the robot that a policy was made for; its last `objects` states are not of it."""
        return Embodiment(spec.state[: len(spec.state) - objects], spec.action)


@cache
def default() -> Embodiment:
    """Return the robot that is meant where none is named."""
    return Embodiment.of(load_robot(DEFAULT))


def arm_columns(axes: Sequence[Axis]) -> list[int]:
    """Find the axes that are no gripper."""
    return [i for i, axis in enumerate(axes) if axis.unit != OPENING]


def gripper_columns(axes: Sequence[Axis]) -> list[int]:
    """Find the grippers; there may be none."""
    return [i for i, axis in enumerate(axes) if axis.unit == OPENING]


def read_urdf(path: Path) -> Mapping[str, Axis]:
    """Read the units and position limits of all movable joints in a robot description.

    A continuous joint, and one without limits, has none. Raises `ConfigError` if it is no URDF.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigError(f"cannot read the robot description {path}: {error}") from error
    joints = [joint for joint in root.findall("joint") if joint.get("type") in UNITS]
    if root.tag != "robot" or not joints:
        raise ConfigError(
            f"{path} is no URDF with joints: give the robot_description, expanded from xacro"
        )
    return {axis.name: axis for axis in map(_joint_axis, joints)}


def _joint_axis(joint: ElementTree.Element) -> Axis:
    name, kind, limit = joint.get("name", ""), joint.get("type", ""), joint.find("limit")
    if limit is None or kind == "continuous":
        return Axis(name, UNITS[kind])
    try:
        return Axis(name, UNITS[kind], float(limit.get("lower", 0)), float(limit.get("upper", 0)))
    except ValueError as error:
        raise ConfigError(f"joint '{name}' has limits that are no numbers: {error}") from error
