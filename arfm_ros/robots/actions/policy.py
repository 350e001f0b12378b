"""What the actions of a policy are on a robot: joint paths, whatever space it was trained in."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.robots.actions.options import rows
from arfm_ros.robots.actions.spaces import ArmOf, RobotActions, read_actions
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]


class PolicyActions(Protocol):
    """Actions [H, D] of a policy, and the path [H, A] of all axes of a robot that they are."""

    names: tuple[str, ...]  # of the actions [D]

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] of actions [H, D] from the measured positions q [A]."""

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, D] that make `path` [H, A] from q [A]."""


class NamedPositions:
    """Actions that are positions of some axes by name; the others stay."""

    def __init__(self, names: tuple[str, ...], robot: Robot) -> None:
        missing = [name for name in names if name not in robot.names]
        if missing:
            raise SpecError(
                f"robot '{robot.name}' has no {', '.join(missing)}; its axes are: "
                f"{', '.join(robot.names)}"
            )
        self.names = names
        self._columns = [robot.names.index(name) for name in names]
        self._width = len(robot.names)

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] of positions [H, D] from q [A]."""
        values = rows(actions, len(self.names), "actions")
        path = np.repeat(np.asarray(q, float)[None], len(values), axis=0)
        path[:, self._columns] = values
        return path

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the positions [H, D] of a path [H, A]; they do not depend on q."""
        return rows(path, self._width, "path")[:, self._columns].astype(np.float32)


def policy_actions(spec: PolicySpec, robot: Robot, arm_of: ArmOf) -> PolicyActions:
    """Return what the actions of a policy are on a robot.

    `arm_of` gives the kinematics of a group by its name. A policy that names no spaces commands
    the positions of its axes. Raises `SpecError` naming the group, space, option or action that
    the robot does not have.
    """
    if not spec.actions:
        return NamedPositions(spec.action_names, robot)
    try:
        found: RobotActions = read_actions(spec.actions, robot, arm_of)
    except ConfigError as error:
        raise SpecError(f"policy '{spec.name}': {error}") from error
    if found.names != spec.action_names:
        raise SpecError(
            f"policy '{spec.name}' has actions {', '.join(spec.action_names)}; its spaces on "
            f"robot '{robot.name}' have {', '.join(found.names)}"
        )
    return found
