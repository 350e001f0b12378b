"""Forward and inverse kinematics of the FR3 in numpy, from Craig's DH parameters.

Poses are position [3] in metres and quaternion xyzw [4] of the tool frame in the base frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from arfm_ros.control import fr3

F64 = NDArray[np.float64]

_FLANGE_TO_TOOL = np.array([
    [cos(fr3.FLANGE_TO_HAND_YAW_RAD), -sin(fr3.FLANGE_TO_HAND_YAW_RAD), 0.0, 0.0],
    [sin(fr3.FLANGE_TO_HAND_YAW_RAD), cos(fr3.FLANGE_TO_HAND_YAW_RAD), 0.0, 0.0],
    [0.0, 0.0, 1.0, fr3.FLANGE_D_M + fr3.HAND_TO_TCP_M],
    [0.0, 0.0, 0.0, 1.0],
])
_COS_ALPHA = np.cos(fr3.DH_ALPHA_RAD)
_SIN_ALPHA = np.sin(fr3.DH_ALPHA_RAD)
_ALONG_Y, _ALONG_Z = -np.array(fr3.DH_D_M) * _SIN_ALPHA, np.array(fr3.DH_D_M) * _COS_ALPHA
_LIMIT_MARGIN_RAD = 0.02


def link_transforms(position_rad: F64) -> F64:
    """Return the transforms [..., 7, 4, 4] of the joint frames in the base frame for [..., 7]."""
    angles = np.asarray(position_rad, dtype=np.float64)
    c, s = np.cos(angles), np.sin(angles)
    frames = np.zeros((*angles.shape, 4, 4))
    frames[..., 0, 0], frames[..., 0, 1], frames[..., 0, 3] = c, -s, fr3.DH_A_M
    frames[..., 1, 0], frames[..., 1, 1] = s * _COS_ALPHA, c * _COS_ALPHA
    frames[..., 1, 2], frames[..., 1, 3] = -_SIN_ALPHA, _ALONG_Y
    frames[..., 2, 0], frames[..., 2, 1] = s * _SIN_ALPHA, c * _SIN_ALPHA
    frames[..., 2, 2], frames[..., 2, 3] = _COS_ALPHA, _ALONG_Z
    frames[..., 3, 3] = 1.0
    for i in range(1, fr3.DOF):
        frames[..., i, :, :] = frames[..., i - 1, :, :] @ frames[..., i, :, :]
    return frames


def tool_transform(position_rad: F64) -> F64:
    """Return the transform [4, 4] of the tool frame in the base frame."""
    return np.asarray(link_transforms(position_rad)[-1] @ _FLANGE_TO_TOOL)


def forward(position_rad: F64) -> tuple[F64, F64]:
    """Return the tool's position [3] and quaternion xyzw [4] for joint angles [7]."""
    pose = tool_transform(np.asarray(position_rad, dtype=float))
    return pose[:3, 3].copy(), quaternion_from_matrix(pose[:3, :3])


def jacobian(position_rad: F64) -> tuple[F64, F64]:
    """Return the geometric Jacobian [6, 7] (linear, angular; base axes) and the pose [4, 4]."""
    frames = link_transforms(position_rad)
    tool = frames[-1] @ _FLANGE_TO_TOOL
    axes = frames[:, :3, 2]
    linear = np.cross(axes, tool[:3, 3] - frames[:, :3, 3])
    return np.vstack([linear.T, axes.T]), tool


def rotation_vector(rotation: F64) -> F64:
    """Return axis times angle [3] of a rotation matrix [3, 3], angle below pi."""
    skew = np.array([
        rotation[2, 1] - rotation[1, 2],
        rotation[0, 2] - rotation[2, 0],
        rotation[1, 0] - rotation[0, 1],
    ])
    sine = 0.5 * float(np.linalg.norm(skew))
    angle = float(np.arctan2(sine, 0.5 * (np.trace(rotation) - 1.0)))
    if sine > 1e-9:
        return skew * (0.5 * angle / sine)
    if angle < 1.0:
        return 0.5 * skew
    column = rotation + np.eye(3)
    axis = column[:, int(np.argmax(np.diag(column)))]
    return np.asarray(axis / np.linalg.norm(axis) * pi)


def quaternion_from_matrix(rotation: F64) -> F64:
    """Return the unit quaternion xyzw [4] of a rotation matrix, w >= 0."""
    vector = rotation_vector(rotation)
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.array([0.0, 0.0, 0.0, 1.0])
    return np.append(vector / angle * sin(angle / 2), cos(angle / 2))


def matrix_from_quaternion(quaternion_xyzw: F64) -> F64:
    """Return the rotation matrix [3, 3] of a quaternion xyzw [4]."""
    x, y, z, w = np.asarray(quaternion_xyzw) / np.linalg.norm(quaternion_xyzw)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])


def pointing_down(yaw_rad: float) -> F64:
    """Return the tool rotation [3, 3] that points at the table; yaw 0 is that of `fr3.HOME`."""
    c, s = cos(yaw_rad), sin(yaw_rad)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


@dataclass(frozen=True, slots=True)
class InverseSolution:
    """Joint angles [7] and what is left of the pose error (m, rad)."""

    position_rad: F64
    error_m: float
    error_rad: float


def inverse(
    position_m: F64, rotation: F64, seed_rad: F64, *, iterations: int = 50, damping: float = 1e-3
) -> InverseSolution:
    """Solve for joint angles near `seed_rad` [7] that reach the tool pose.

    Damped least squares with the posture `fr3.HOME` in the nullspace, so that the converged
    answer depends on the pose alone (the point nearest to HOME), not on the path taken.
    """
    q = np.asarray(seed_rad, dtype=float).copy()
    low = np.asarray(fr3.POSITION_MIN_RAD) + _LIMIT_MARGIN_RAD
    high = np.asarray(fr3.POSITION_MAX_RAD) - _LIMIT_MARGIN_RAD
    home = np.asarray(fr3.HOME)
    error = np.zeros(6)
    for _ in range(iterations):
        jac, tool = jacobian(q)
        error[:3] = position_m - tool[:3, 3]
        error[3:] = rotation_vector(rotation @ tool[:3, :3].T)
        pseudo = jac.T @ np.linalg.inv(jac @ jac.T + damping**2 * np.eye(6))
        posture = 0.3 * (home - q)
        step = pseudo @ error + posture - pseudo @ (jac @ posture)
        q = np.clip(q + np.clip(step, -0.3, 0.3), low, high)
        if float(np.abs(step).max()) < 1e-6:
            break
    tool = tool_transform(q)
    left = rotation_vector(rotation @ tool[:3, :3].T)
    return InverseSolution(
        q, float(np.linalg.norm(position_m - tool[:3, 3])), float(np.linalg.norm(left))
    )
