"""Look a robot over: what its kinematics say at home, and what is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.commands.controller import Tools
from arfm_ros.robots.commands.registry import make_controller
from arfm_ros.robots.files.load import findings
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.poses import Pose
from arfm_ros.robots.robot import Group, Robot

F64 = NDArray[np.float64]
NEAR_M, SINGULAR = 0.01, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class AtHome:
    """A group's tool at home, seen from its base."""

    group: Group
    pose: Pose
    smallest: float  # singular value of the Jacobian
    nearest_m: float  # between links that are no neighbours; inf: no shapes
    links: tuple[str, str]
    touching: tuple[tuple[str, str], ...]  # taken as neighbours


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What was found out about a robot."""

    robot: Robot
    commands: Mapping[str, tuple[str, ...]]  # group -> topics that its controller listens to
    at_home: tuple[AtHome, ...]
    findings: tuple[str, ...]


def examine(robot: Robot, near: Path | None = None) -> Examined:
    """Look a robot over; meshes are looked for from the folder `near`.

    Without pinocchio, or without a description, only the files are looked at. Raises `ConfigError`
    for a controller that does not exist, has no such option, or does not take the group's axes.
    """
    commands = {group.name: _commands(robot, group) for group in robot.groups}
    found = list(findings(robot, near))
    placed = []
    for group in robot.groups:
        if not group.tool or not robot.description:
            continue
        try:
            placed.append(_at_home(robot, group))
        except ConfigError as error:
            found.append(f"group '{group.name}': {error}")
    for one in placed:
        found += _remarks(one)
    return Examined(robot, commands, tuple(placed), tuple(dict.fromkeys(found)))


def _commands(robot: Robot, group: Group) -> tuple[str, ...]:
    """Return the topics of a group's controller."""

    def forward(q: F64) -> tuple[F64, F64]:
        pose = ArmKinematics(robot, group.name).forward(q)
        return pose.position, pose.quaternion

    controller = make_controller(group, Tools(forward=forward if group.tool else None))
    return tuple(topic.name for topic in controller.topics(group))


def _at_home(robot: Robot, group: Group) -> AtHome:
    kinematics = ArmKinematics(robot, group.name)
    home = kinematics.home
    distance = kinematics.self_distance(home)
    return AtHome(
        group,
        kinematics.forward(home),
        kinematics.singularity(home).smallest,
        distance.metres,
        (distance.first, distance.second),
        kinematics.touching_at_home,
    )


def _remarks(one: AtHome) -> list[str]:
    """List what a user would want to know before the arm moves."""
    name, said = one.group.name, []
    if one.smallest < SINGULAR:
        said.append(f"group '{name}' is near a singular posture at home: choose another home")
    if one.nearest_m < NEAR_M:
        said.append(
            f"group '{name}': {one.links[0]} and {one.links[1]} are "
            f"{one.nearest_m * 1000:.0f} mm apart at home: choose another home"
        )
    if np.isinf(one.nearest_m):
        said.append(
            f"group '{name}': the URDF has no boxes, cylinders or spheres for collision: the "
            "distance between links is not watched"
        )
    if one.touching:
        pairs = ", ".join(" and ".join(pair) for pair in one.touching[:3])
        more = f" and {len(one.touching) - 3} more" if len(one.touching) > 3 else ""
        said.append(f"group '{name}': touch at home, taken as neighbours: {pairs}{more}")
    return said
