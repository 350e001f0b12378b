"""Learn actions in another space than joint positions: what was commanded, written in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arfm_ros.core.values.data import F32
from arfm_ros.core.values.spec import Axis
from arfm_ros.core.values.spec_reading import Plain
from arfm_ros.robots.actions.axes import space_axes
from arfm_ros.robots.actions.spaces import RobotActions, read_actions
from arfm_ros.robots.robot import Robot


@dataclass(frozen=True, slots=True)
class Spaces:
    """The spaces of a robot's actions, as `robots.actions` reads them."""

    robot: Robot  # with the groups that are learned, and no others
    maps: tuple[Mapping[str, Plain], ...]

    def read(self) -> RobotActions:
        """Make the actions; raises `ConfigError` naming what the robot does not have."""
        from arfm_ros.robots.kinematics.arm import ArmKinematics  # needed by poses alone

        return read_actions(self.maps, self.robot, lambda group: ArmKinematics(self.robot, group))

    def axes(self) -> tuple[Axis, ...]:
        """Name the actions, with the units and limits of positions where they are such."""
        return space_axes(self.read())

    def described(self) -> list[Any]:
        """Tell what decides the actions, for JSON."""
        robot = self.robot
        digest = hashlib.sha256(f"{robot.groups} {robot.description}".encode()).hexdigest()
        return [robot.name, digest, [dict(one) for one in self.maps]]


def spaces_of(robot: Robot, groups: Sequence[str], maps: Sequence[Mapping[str, Plain]]) -> Spaces:
    """Make the spaces of some groups of a robot (none named: of all of them) and check them."""
    wanted = tuple(one for one in robot.groups if not groups or one.name in groups)
    spaces = Spaces(replace(robot, groups=wanted), tuple(maps))
    spaces.read()
    return spaces


def written(spaces: Spaces, paths: F32, state: F32) -> F32:
    """Write joint paths [N, H, A] that begin at states [N, S] as actions [N, H, D].

    The state begins with the robot's axes in their order.
    """
    actions, width = spaces.read(), len(spaces.robot.names)
    rows = [actions.from_joints(path, q[:width]) for path, q in zip(paths, np.float64(state))]
    return np.stack(rows).astype(np.float32)
