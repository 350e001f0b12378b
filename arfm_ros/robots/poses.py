"""Poses and rotations in numpy, for one or for many at once: shapes [..., n].

Quaternions are xyzw with w >= 0. A rotation vector is axis times angle, of at most pi.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Where a frame is in another: `matrix` [..., 4, 4], m."""

    matrix: F64

    @staticmethod
    def of(position: ArrayLike, rotation: ArrayLike) -> Pose:
        """Make a pose of positions [..., 3] and rotation matrices [..., 3, 3]."""
        position, rotation = np.asarray(position, float), np.asarray(rotation, float)
        matrix = np.zeros((*position.shape[:-1], 4, 4))
        matrix[..., :3, :3], matrix[..., :3, 3], matrix[..., 3, 3] = rotation, position, 1.0
        return Pose(matrix)

    @property
    def position(self) -> F64:
        """Position [..., 3], m."""
        return self.matrix[..., :3, 3]

    @property
    def rotation(self) -> F64:
        """Rotation matrix [..., 3, 3]."""
        return self.matrix[..., :3, :3]

    @property
    def quaternion(self) -> F64:
        """Quaternion xyzw [..., 4]."""
        return quaternions(self.rotation)


def quaternions(rotation: F64) -> F64:
    """Return the quaternions xyzw [..., 4] of rotation matrices.

    Shepperd, Quaternion from rotation matrix (1978): the largest of four squares is divided by.
    """
    r = np.asarray(rotation, float)
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    squares = np.stack([*(2 * r[..., i, i] - trace for i in range(3)), trace], axis=-1)
    largest = np.argmax(squares, axis=-1)
    table = np.empty((*r.shape[:-2], 4, 4))  # 4 times the products of the quaternion's parts
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        table[..., i, i] = 1 + squares[..., i]
        table[..., i, j] = table[..., j, i] = r[..., i, j] + r[..., j, i]
        table[..., i, 3] = table[..., 3, i] = r[..., k, j] - r[..., j, k]
    table[..., 3, 3] = 1 + squares[..., 3]
    found = np.take_along_axis(table, largest[..., None, None], axis=-2)[..., 0, :]
    found = found * np.where(found[..., 3:] < 0, -1.0, 1.0)
    return np.asarray(found / np.linalg.norm(found, axis=-1, keepdims=True))


def from_quaternions(quaternion: ArrayLike) -> F64:
    """Return the rotation matrices [..., 3, 3] of quaternions xyzw, which need no unit length."""
    q = np.asarray(quaternion, float)
    q = q / np.maximum(np.linalg.norm(q, axis=-1, keepdims=True), 1e-12)
    return _rotated(q[..., :3], q[..., 3])


def rotation_vectors(rotation: F64) -> F64:
    """Return axis times angle [..., 3] of rotation matrices."""
    q = quaternions(rotation)
    sine = np.linalg.norm(q[..., :3], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., 3:])
    ratio = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)
    return np.asarray(ratio * q[..., :3])


def from_rotation_vectors(vector: ArrayLike) -> F64:
    """Return the rotation matrices [..., 3, 3] of rotation vectors (Rodrigues)."""
    v = np.asarray(vector, float)
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    half = np.sinc(angle / (2.0 * np.pi)) / 2.0  # sin(angle / 2) / angle
    return _rotated(half * v, np.cos(angle / 2.0)[..., 0])


def six_numbers(rotation: F64) -> F64:
    """Return the first two columns [..., 6] of rotation matrices.

    Zhou et al., On the continuity of rotation representations (2019).
    """
    r = np.asarray(rotation, float)
    return np.concatenate([r[..., :, 0], r[..., :, 1]], axis=-1)


def from_six_numbers(numbers: ArrayLike) -> F64:
    """Return the rotation matrices [..., 3, 3] nearest to two columns (Gram-Schmidt)."""
    a, b = np.split(np.asarray(numbers, float), 2, axis=-1)
    x = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)
    y = b - (x * b).sum(-1, keepdims=True) * x
    y = y / np.maximum(np.linalg.norm(y, axis=-1, keepdims=True), 1e-12)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _rotated(vector: F64, scalar: F64) -> F64:
    """Return the rotation matrices of unit quaternions in two parts."""
    x, y, z, w = vector[..., 0], vector[..., 1], vector[..., 2], scalar
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def euler_xyz(rotation: F64) -> F64:
    """Return turns about the standing x, then y, then z axis [..., 3]; y within a quarter turn."""
    r = np.asarray(rotation, float)
    y = np.arctan2(-r[..., 2, 0], np.hypot(r[..., 0, 0], r[..., 1, 0]))
    x = np.arctan2(r[..., 2, 1], r[..., 2, 2])
    z = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return np.stack([x, y, z], axis=-1)


def from_euler_xyz(angles: ArrayLike) -> F64:
    """Return the rotation matrices [..., 3, 3] of turns about the standing x, y and z axes."""
    a = np.asarray(angles, float)
    x, y, z = (from_rotation_vectors(a[..., i, None] * np.eye(3)[i]) for i in range(3))
    return np.asarray(z @ y @ x)
