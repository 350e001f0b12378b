"""Actions that are poses or velocities of the tool, in the group's base frame or in the tool's.

Sums are made of poses, exactly, and only then turned into joints: nothing adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError, SafetyError
from arfm_ros.robots import poses
from arfm_ros.robots.actions.joint import ABSOLUTE, MEASURED, PREVIOUS, REFERENCES
from arfm_ros.robots.actions.options import need, rows
from arfm_ros.robots.kinematics.kinematics import Kinematics
from arfm_ros.robots.poses import Pose
from arfm_ros.robots.robot import Group

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
BASE, TOOL = FRAMES = ("base", "tool")
REACH_M, REACH_RAD = 1e-3, 2e-3  # a pose that is missed by more is refused


@dataclass(frozen=True, slots=True)
class Code:
    """How a rotation is written: in so many numbers, there and back."""

    numbers: tuple[str, ...]
    write: Callable[[F64], F64]
    read: Callable[[F64], F64]
    scales: bool = False  # half of the numbers are half of the rotation


ROTATIONS = {
    "quaternion": Code(("qx", "qy", "qz", "qw"), poses.quaternions, poses.from_quaternions),
    "axis_angle": Code(
        ("rx", "ry", "rz"), poses.rotation_vectors, poses.from_rotation_vectors, True
    ),
    "rotation_6d": Code(
        tuple(f"r{i}" for i in range(6)), poses.six_numbers, poses.from_six_numbers
    ),
    "euler_xyz": Code(("roll", "pitch", "yaw"), poses.euler_xyz, poses.from_euler_xyz, True),
}


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """How a pose is written and where it is counted from.

    Numbers are multiplied by the scales; those beyond `clip` are clipped before (0: none are).
    """

    reference: str = ABSOLUTE
    rotation: str = "quaternion"
    frame: str = BASE  # axes of what is relative: those of the base, or of the tool before
    position_scale: float = 1.0
    rotation_scale: float = 1.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        need(self.reference, REFERENCES, "reference of tool_pose")
        need(self.rotation, tuple(ROTATIONS), "rotation of tool_pose")
        need(self.frame, FRAMES, "frame of tool_pose")
        if self.reference == ABSOLUTE and self.frame == TOOL:
            raise ConfigError("tool_pose is absolute in the base's frame only: frame base")
        if not min(self.position_scale, self.rotation_scale) > 0.0 or self.clip < 0.0:
            raise ConfigError("tool_pose needs scales above 0 and clip 0 or more")
        if self.rotation_scale != 1.0 and not ROTATIONS[self.rotation].scales:
            raise ConfigError(
                f"rotation_scale {self.rotation_scale} needs rotation axis_angle or euler_xyz, "
                f"not {self.rotation}"
            )


@dataclass(frozen=True, slots=True)
class TwistOptions:
    """How long a velocity of the tool acts: m/s, and rad/s as an axis times speed."""

    dt_s: float
    frame: str = BASE
    position_scale: float = 1.0
    rotation_scale: float = 1.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        need(self.frame, FRAMES, "frame of tool_velocity")
        if not min(self.dt_s, self.position_scale, self.rotation_scale) > 0.0 or self.clip < 0.0:
            raise ConfigError("tool_velocity needs dt_s and scales above 0 and clip 0 or more")

    def as_pose(self) -> PoseOptions:
        """Return the steps that these velocities are."""
        return PoseOptions(
            PREVIOUS,
            "axis_angle",
            self.frame,
            self.position_scale * self.dt_s,
            self.rotation_scale * self.dt_s,
            self.clip,
        )


class ToolPose:
    """Poses of the group's tool."""

    def __init__(self, group: Group, options: PoseOptions | TwistOptions, arm: Kinematics) -> None:
        self.group, self.options = group, options
        self._how = options.as_pose() if isinstance(options, TwistOptions) else options
        self._code, self._arm = ROTATIONS[self._how.rotation], arm
        self.names = tuple(f"{group.name}.{n}" for n in ("x", "y", "z", *self._code.numbers))

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the path [H, A] from q [A]; raises `SafetyError` for a pose out of reach."""
        numbers = rows(actions, len(self.names), f"actions of tool '{self.group.tool}'")
        targets = self.targets(numbers, self._arm.forward(q))
        path, seed = np.empty((len(targets), len(q))), np.asarray(q, float)
        for i, target in enumerate(targets):
            found = self._arm.inverse(Pose(target), "", seed)
            if found.error_m > REACH_M or found.error_rad > REACH_RAD:
                raise SafetyError(
                    f"action {i + 1} of {len(targets)} of group '{self.group.name}' is a pose out "
                    f"of reach by {found.error_m * 1000:.1f} mm and {found.error_rad:.3f} rad"
                )
            seed = path[i] = found.q
        return path

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, D] that make `path` [H, A] from q [A]."""
        points = rows(path, len(self.group.axes), "path")
        before = self._arm.forward(q).matrix
        written = np.empty((len(points), len(self.names)), dtype=np.float32)
        for i, point in enumerate(points):
            at = self._arm.forward(point).matrix
            written[i] = self._write(self._relative(before, at))
            if self._how.reference == PREVIOUS:
                before = at
        return written

    def targets(self, actions: F64, start: Pose) -> F64:
        """Return the poses [H, 4, 4] that actions [H, D] ask for, the tool being at `start`."""
        poses_asked = self._read(actions)
        before, found = start.matrix, np.empty_like(poses_asked)
        for i, asked in enumerate(poses_asked):
            found[i] = self._moved(before, asked)
            if self._how.reference == PREVIOUS:
                before = found[i]
        return found

    def _read(self, actions: F64) -> F64:
        how = self._how
        clipped = np.clip(actions, -how.clip, how.clip) if how.clip else actions
        rotation = self._code.read(how.rotation_scale * clipped[:, 3:])
        return Pose.of(how.position_scale * clipped[:, :3], rotation).matrix

    def _write(self, pose: F64) -> F64:
        how = self._how
        turned = self._code.write(pose[:3, :3]) / how.rotation_scale
        return np.concatenate([pose[:3, 3] / how.position_scale, turned])

    def _moved(self, before: F64, asked: F64) -> F64:
        if self._how.reference not in (MEASURED, PREVIOUS):
            return asked
        if self._how.frame == TOOL:
            return np.asarray(before @ asked)
        rotation = asked[:3, :3] @ before[:3, :3]
        return Pose.of(before[:3, 3] + asked[:3, 3], rotation).matrix

    def _relative(self, before: F64, at: F64) -> F64:
        """Invert `_moved`."""
        if self._how.reference not in (MEASURED, PREVIOUS):
            return at
        rotation = before[:3, :3]
        if self._how.frame == TOOL:
            moved = rotation.T @ (at[:3, 3] - before[:3, 3])
            return Pose.of(moved, rotation.T @ at[:3, :3]).matrix
        return Pose.of(at[:3, 3] - before[:3, 3], at[:3, :3] @ rotation.T).matrix
