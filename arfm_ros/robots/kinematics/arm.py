"""Kinematics of any arm with a description, by pinocchio, which is imported where it is needed.

Poses are those of a frame in the group's base frame. Positions q [A] are in the order of the
group's axes (of all axes of a robot where no group is named); every other joint stands at home.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.distances import NOTHING_NEAR, Distance, Distances
from arfm_ros.robots.kinematics import inverse
from arfm_ros.robots.kinematics.inverse import Search, Solution
from arfm_ros.robots.kinematics.model import Model, reduced_model
from arfm_ros.robots.poses import Pose
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]
PRECISE = Search()


@dataclass(frozen=True, slots=True)
class Singularity:
    """How near a posture is to a singular one: 0 means that a direction is lost."""

    smallest: float  # singular value of the Jacobian
    manipulability: float  # their product; Yoshikawa (1985)


class ArmKinematics:
    """Forward and inverse kinematics of a group, or of a whole robot; for one thread at a time."""

    def __init__(self, robot: Robot, group: str = "") -> None:
        self._model: Model = reduced_model(robot, group)
        chosen = robot.group(group) if group else None
        self.axes = robot.axes if chosen is None else chosen.axes
        self.home = np.array([axis.home for axis in self.axes])
        self.low = np.array([axis.low + axis.margin for axis in self.axes])
        self.high = np.array([axis.high - axis.margin for axis in self.axes])
        self.tool = "" if chosen is None else chosen.tool
        self._of = f"robot '{robot.name}'" if chosen is None else f"group '{group}'"
        self._pin: Any = self._model.pin
        self._frames: dict[str, int] = {}
        self._base: F64 = np.eye(4)
        self._stand_on("" if chosen is None else chosen.base)
        self._distances: Distances | None = None

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of all frames of the description."""
        return self._model.links

    def forward(self, q: ArrayLike, frame: str = "") -> Pose:
        """Return the pose of a frame ("": the tool) at positions q [A]."""
        return Pose(self._base @ self._place(self._model.configuration(q), self._frame(frame)))

    def jacobian(self, q: ArrayLike, frame: str = "") -> F64:
        """Return the geometric Jacobian [6, A] of a frame: linear, then angular, base axes."""
        return self._jacobian(self._model.configuration(q), self._frame(frame))

    def inverse(
        self,
        pose: Pose,
        frame: str = "",
        seed: ArrayLike | None = None,
        posture: ArrayLike | None = None,
        search: Search = PRECISE,
    ) -> Solution:
        """Find positions within the limits, less their margins, that bring a frame to `pose`.

        Begins at `seed` [A] (None: home) and stays on its branch. What the pose leaves free is
        drawn to `posture` [A]; None: nothing is drawn, the nearest answer is taken.
        """
        number = self._frame(frame)

        def look(q: F64) -> tuple[F64, F64]:
            at = self._model.configuration(q)
            jacobian = self._jacobian(at, number)
            return self._base @ np.asarray(self._model.data.oMf[number].homogeneous), jacobian

        start = self.home if seed is None else np.asarray(seed, float)
        drawn = None if posture is None else np.asarray(posture, float)
        return inverse.solve(look, pose, (start, drawn), self._around(start), search)

    def singularity(self, q: ArrayLike, frame: str = "") -> Singularity:
        """Return how far the posture q [A] is from a singular one."""
        values = np.linalg.svd(self.jacobian(q, frame), compute_uv=False)
        return Singularity(float(values[-1]), float(np.prod(values)))

    def self_distance(self, q: ArrayLike) -> Distance:
        """Return the least distance between links that are no neighbours, and their names.

        Links are the primitives that the URDF gives for collision; meshes are left out. Pairs
        that touch at home are taken as neighbours. Without such pairs the distance is infinite.
        """
        distances = self._meeting()
        if not distances.pairs:
            return NOTHING_NEAR
        return distances.nearest(self._model.configuration(q))

    def reach(self) -> F64:
        """Return [A] how far any frame or shape moves at most for a unit of each axis, m."""
        return self._model.reach()

    @property
    def touching_at_home(self) -> tuple[tuple[str, str], ...]:
        """Pairs of links that `self_distance` leaves out because they touch at home."""
        return self._meeting().touching

    def _meeting(self) -> Distances:
        if self._distances is None:
            self._distances = Distances(self._model, self.home)
        return self._distances

    def _around(self, start: F64) -> tuple[F64, F64]:
        """Return the limits less margins, with a start inside the margins: it may stay there."""
        low = np.clip(start, [axis.low for axis in self.axes], self.low)
        high = np.clip(start, self.high, [axis.high for axis in self.axes])
        return low, high

    def _frame(self, name: str) -> int:
        """Return the number of a frame; raises `ConfigError` with the known ones."""
        if name not in self._frames:
            wanted = name or self.tool
            if wanted not in self._model.links:
                found = f"frame '{wanted}'" if wanted else "frame, and no tool in its YAML"
                known = ", ".join(self._model.links)
                raise ConfigError(f"{self._of} has no {found}; the description has {known}")
            body = self._pin.FrameType.BODY  # a joint may have the same name
            self._frames[name] = int(self._model.model.getFrameId(wanted, body))
        return self._frames[name]

    def _place(self, at: F64, frame: int) -> F64:
        model, data = self._model.model, self._model.data
        self._pin.forwardKinematics(model, data, at)
        return np.array(self._pin.updateFramePlacement(model, data, frame).homogeneous)

    def _jacobian(self, at: F64, frame: int) -> F64:
        axes = self._pin.ReferenceFrame.LOCAL_WORLD_ALIGNED
        model, data = self._model.model, self._model.data
        world = self._pin.computeFrameJacobian(model, data, at, frame, axes)
        own = world @ self._model.shares
        rotation = self._base[:3, :3]
        return np.vstack([rotation @ own[:3], rotation @ own[3:]])

    def _stand_on(self, base: str) -> None:
        """Give poses in the frame `base`, which may not move."""
        if not base:
            return
        number = self._frame(base)
        if self._model.model.frames[number].parentJoint != 0:
            raise ConfigError(f"base '{base}' of {self._of} moves: name a frame that stands")
        stands = self._place(self._model.configuration(self.home), number)
        self._base = np.asarray(np.linalg.inv(stands), dtype=np.float64)
