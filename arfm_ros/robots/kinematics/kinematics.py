"""What is needed of an arm's kinematics, whoever computes them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.robots.kinematics.inverse import Solution
from arfm_ros.robots.poses import Pose

F64 = NDArray[np.float64]


class Kinematics(Protocol):
    """Where a frame ("": the tool) is in the group's base at positions q [A], and back."""

    def forward(self, q: ArrayLike, frame: str = "") -> Pose:
        """Return the pose of the frame."""

    def jacobian(self, q: ArrayLike, frame: str = "") -> F64:
        """Return the geometric Jacobian [6, A]: linear, then angular, base axes."""

    def inverse(self, pose: Pose, frame: str = "", seed: ArrayLike | None = None) -> Solution:
        """Return positions that bring the frame there, from `seed` [A] (None: home)."""
