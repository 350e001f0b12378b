"""Kinematics of the arms at the table, in the scene's frame: the tool points down, with a yaw.

Yaw 0 is that of the tool at home, turned upright and to the nearest quarter, so that fingers
close along the sides of what lies straight on the table.
"""

from __future__ import annotations

from math import atan2, cos, pi, sin
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.bodies import read_tree
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.arm import ArmKinematics
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.robots.kinematics.inverse import Search, Solution
from arfm_ros.robots.poses import Pose, from_rotation_vectors, rotation_vectors
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]
TRIES, SEED = 50, 0  # random postures from which the ready one is looked for if need be
NEAR_M, NEAR_RAD = 1e-3, 1e-2
DAMPING = 1e-3  # of the FR3's search
DOWN = np.array([0.0, 0.0, -1.0])


def pointing_down(yaw_rad: float) -> F64:
    """Return the rotation [3, 3] of a tool whose z axis points at the table."""
    c, s = cos(yaw_rad), sin(yaw_rad)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


class Solver(Protocol):
    """The kinematics of one arm."""

    def tool(self, q: F64) -> F64:
        """Return the transform [4, 4] of the tool in the scene."""

    def down(self, yaw_rad: float) -> F64:
        """Return the rotation [3, 3] of a tool that points down."""

    def yaw(self, rotation: F64) -> float:
        """Return the yaw of a rotation [3, 3]."""

    def start(self, position_m: F64, rotation: F64) -> F64:
        """Return joint positions at a pose, found from the arm's ready posture."""

    def follow(self, position_m: F64, rotation: F64, q: F64) -> F64:
        """Return joint positions near `q` that come near a pose, in a few iterations."""


class Fr3Solver:
    """The FR3's search, which its demonstrations were made with: near the posture at home."""

    def __init__(self) -> None:
        robot = load_robot("fr3")
        self._chain = Chain(robot, "arm")
        axes = self._chain.axes
        self._home = np.array([axis.home for axis in axes])
        self._low = np.array([axis.low + axis.margin for axis in axes])
        self._high = np.array([axis.high - axis.margin for axis in axes])

    def tool(self, q: F64) -> F64:
        """Return the transform [4, 4] of the tool in the scene."""
        return self._chain.forward(q).matrix

    def down(self, yaw_rad: float) -> F64:
        """Return the rotation [3, 3] of a tool that points down."""
        return pointing_down(yaw_rad)

    def yaw(self, rotation: F64) -> float:
        """Return the yaw of a rotation [3, 3]."""
        return atan2(rotation[1, 0], rotation[0, 0])

    def start(self, position_m: F64, rotation: F64) -> F64:
        """Return joint positions at a pose, found from home."""
        return self._search(position_m, rotation, self._home, 50)

    def follow(self, position_m: F64, rotation: F64, q: F64) -> F64:
        """Return joint positions near `q` that come near a pose."""
        return self._search(position_m, rotation, q, 3)

    def _search(self, position_m: F64, rotation: F64, seed: F64, iterations: int) -> F64:
        """Damped least squares with the posture at home in the null space.

        The answer depends on the pose alone, not on the path taken.
        """
        q, error = np.asarray(seed, dtype=float).copy(), np.zeros(6)
        for _ in range(iterations):
            jacobian, tool = self._chain.jacobian(q), self._chain.forward(q)
            error[:3] = position_m - tool.position
            error[3:] = rotation_vectors(rotation @ tool.rotation.T)
            square = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
            pseudo = jacobian.T @ np.linalg.inv(square)
            posture = 0.3 * (self._home - q)
            step = pseudo @ error + posture - pseudo @ (jacobian @ posture)
            q = np.clip(q + np.clip(step, -0.3, 0.3), self._low, self._high)
            if float(np.abs(step).max()) < 1e-6:
                break
        return q


class ArmSolver:
    """Any arm's kinematics, by its description."""

    def __init__(self, robot: Robot, group: str, ready_m: F64) -> None:
        """Find the ready posture, tool at `ready_m` pointing down; `ConfigError` without one."""
        self._kinematics = ArmKinematics(robot, group)
        root = read_tree(robot.description).root
        home = self._kinematics.home
        self._base = np.linalg.inv(self._kinematics.forward(home, root).matrix)
        self._into = np.linalg.inv(self._base)
        self._yaw = _quarter(self.tool(home)[:3, :3])
        self.what = f"group '{group}' of robot '{robot.name}'"
        self.ready = self._find_ready(ready_m)

    def tool(self, q: F64) -> F64:
        """Return the transform [4, 4] of the tool in the scene."""
        return np.asarray(self._base @ self._kinematics.forward(q).matrix)

    def down(self, yaw_rad: float) -> F64:
        """Return the rotation [3, 3] of a tool that points down."""
        return pointing_down(yaw_rad + self._yaw)

    def yaw(self, rotation: F64) -> float:
        """Return the yaw of a rotation [3, 3]."""
        turned = atan2(rotation[1, 0], rotation[0, 0]) - self._yaw
        return float((turned + pi) % (2.0 * pi) - pi)

    def start(self, position_m: F64, rotation: F64) -> F64:
        """Return joint positions at a pose, found from the ready posture."""
        return self._solve(position_m, rotation, self.ready).q

    def follow(self, position_m: F64, rotation: F64, q: F64) -> F64:
        """Return joint positions near `q` that come near a pose."""
        return self._solve(position_m, rotation, q, Search(iterations=4)).q

    def reaches(self, position_m: F64) -> bool:
        """Tell whether the tool comes to a point [3], pointing down."""
        return _near(self._solve(position_m, self.down(0.0), self.ready))

    def _solve(
        self, position_m: F64, rotation: F64, seed: F64, search: Search | None = None
    ) -> Solution:
        pose = Pose(self._into @ Pose.of(position_m, rotation).matrix)
        return self._kinematics.inverse(pose, "", seed, self.ready, search or Search())

    def _find_ready(self, ready_m: F64) -> F64:
        arm, random = self._kinematics, np.random.default_rng(SEED)
        low, high = np.maximum(arm.low, -pi), np.minimum(arm.high, pi)
        pose = Pose(self._into @ Pose.of(ready_m, self.down(0.0)).matrix)
        for seed in (arm.home, *random.uniform(low, high, (TRIES, len(low)))):
            found = arm.inverse(pose, "", seed, arm.home)
            if _near(found):
                return found.q
        raise ConfigError(
            f"{self.what} cannot bring its tool to {np.round(ready_m, 2).tolist()} m, pointing "
            "down, where the tasks begin: check the base frame and the joints' limits"
        )


def _near(found: Solution) -> bool:
    return found.error_m < NEAR_M and found.error_rad < NEAR_RAD


def _quarter(rotation: F64) -> float:
    """Return the yaw of a rotation, its z axis turned down the short way, at a whole quarter."""
    axis = np.cross(rotation[:, 2], DOWN)
    sine, cosine = float(np.linalg.norm(axis)), float(rotation[:, 2] @ DOWN)
    if sine < 1e-9:  # it points up or down: any horizontal axis will do
        axis, sine = np.array([0.0, 1.0, 0.0]), 0.0
    else:
        axis = axis / sine
    turned = from_rotation_vectors(atan2(sine, cosine) * axis) @ rotation
    return round(atan2(turned[1, 0], turned[0, 0]) / (pi / 2)) * pi / 2
