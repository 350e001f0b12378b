"""Work space, keep-out boxes and self-collision of the FR3 with the Franka Hand.

The arm is a few spheres and capsules, of the sizes of the simulated arm's geometry, which were
taken from the published meshes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.space import ANYWHERE, Space, boxes
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3 import frames as kinematics

F64 = NDArray[np.float64]
HAND_YAW = fr3.FLANGE_TO_HAND_YAW_RAD


@dataclass(frozen=True, slots=True)
class Ball:
    """A sphere on a link: index of the joint frame, centre in it, radius; m."""

    name: str
    link: int
    at: tuple[float, float, float]
    radius_m: float


def _in_hand(y: float, z: float) -> tuple[float, float, float]:
    """Turn a point of the hand's frame into the frame of joint 7."""
    return (-y * float(np.sin(HAND_YAW)), y * float(np.cos(HAND_YAW)), fr3.FLANGE_D_M + z)


TOOL = Ball("tool", 6, _in_hand(0.0, fr3.HAND_TO_TCP_M), 0.0)
BALLS = (
    TOOL,
    Ball("hand", 6, _in_hand(0.09, 0.045), 0.02),
    Ball("hand", 6, _in_hand(-0.09, 0.045), 0.02),
    Ball("wrist", 6, (0.0, 0.0, 0.08), 0.05),
    Ball("elbow", 3, (-0.08, 0.05, 0.0), 0.06),
)


@dataclass(frozen=True, slots=True)
class Capsule:
    """A capsule on a link (-1: the base): its axis from a to b in the joint's frame; m."""

    name: str
    link: int
    a: tuple[float, float, float]
    b: tuple[float, float, float]
    radius_m: float


# what moves far, and what it can hit
MOVING = (
    Capsule("hand", 6, _in_hand(-0.08, 0.04), _in_hand(0.08, 0.04), 0.035),
    Capsule("fingers", 6, _in_hand(0.0, 0.06), _in_hand(0.0, fr3.HAND_TO_TCP_M), 0.015),
    Capsule("wrist", 5, (0.02, 0.0, 0.0), (0.088, 0.0, 0.0), 0.05),
)
STANDING = (
    Capsule("base", -1, (-0.12, 0.0, 0.05), (0.03, 0.0, 0.05), 0.075),
    Capsule("column", -1, (0.0, 0.0, 0.10), (0.0, 0.0, 0.333), 0.075),
    Capsule("upper arm", 1, (0.0, -0.05, 0.0), (0.0, -0.18, 0.0), 0.07),
)


class FrankaSpace:
    """Where tool, hand, wrist and elbow may be, and how near the hand may come to the arm."""

    def __init__(
        self, workspace: Sequence[float], keep_out: Sequence[float], self_distance: float
    ) -> None:
        self._room = boxes("workspace", workspace)
        self._boxes = boxes("keep_out", keep_out)
        self._distance = self_distance
        if len(self._room) > 1:
            raise ConfigError(f"workspace has {len(workspace)} numbers, needs 6, or none")

    def depth(self, positions: F64) -> F64:
        """Return how far [...] m the worst part of the arm is outside at positions [..., A]."""
        return np.asarray(self._depths(positions)[0].max(axis=-1))

    def describe(self, position: F64) -> str:
        """Say what a position [A] violates most."""
        depths, names = self._depths(position)
        worst = int(np.argmax(depths))
        return f"{names[worst]} by {depths[worst] * 1000:.0f} mm"

    def _depths(self, positions: F64) -> tuple[F64, list[str]]:
        frames = kinematics.link_transforms(positions[..., : fr3.DOF])
        points = _points(frames)
        depths, names = [], []
        if len(self._room):
            low, high = self._room[0]
            beyond = np.maximum(low - points[..., 0, :], points[..., 0, :] - high)
            depths.append(beyond.max(axis=-1))
            names.append("tool leaves the workspace")
        for number, (low, high) in enumerate(self._boxes):
            inside = np.minimum(points - low, high - points) + _RADII[:, None]
            depths += list(np.moveaxis(inside.min(axis=-1), -1, 0))
            names += [f"{ball.name} enters keep-out box {number + 1}" for ball in BALLS]
        if self._distance > -1.0:
            gaps = _gaps(frames)
            depths += list(np.moveaxis(self._distance - gaps, -1, 0))
            names += _PAIR_NAMES
        return np.stack(depths, axis=-1), names


def fr3_space(
    workspace: Sequence[float] = (), keep_out: Sequence[float] = (), self_distance: float = 0.01
) -> Space:
    """Return where the FR3 may be: a box for its tool, boxes to keep out of, m in the base frame.

    `self_distance` m between the hand and the rest of the arm; -1: not checked. Raises
    `ConfigError` naming the parameter that makes no box.
    """
    if not len(workspace) and not len(keep_out) and self_distance <= -1.0:
        return ANYWHERE
    return FrankaSpace(workspace, keep_out, self_distance)


def _points(frames: F64) -> F64:
    """Centres [..., K, 3] of the balls."""
    chosen = frames[..., _BALL_LINKS, :, :]
    return np.asarray((chosen[..., :3, :] @ _BALL_AT[..., None])[..., 0])


def _gaps(frames: F64) -> F64:
    """Distances [..., P] between the surfaces of the moving and the standing capsules."""
    base = np.broadcast_to(np.eye(4), (*frames.shape[:-3], 1, 4, 4))
    ends = np.concatenate([frames, base], axis=-3)[..., _CAPSULE_LINKS, :, :]
    a, b = ((ends[..., :3, :] @ at[..., None])[..., 0] for at in _CAPSULE_ENDS)
    first, second = _PAIRS[:, 0], _PAIRS[:, 1]
    distance = _between_segments(
        a[..., first, :], b[..., first, :], a[..., second, :], b[..., second, :]
    )
    return distance - _CAPSULE_RADII[first] - _CAPSULE_RADII[second]


def _between_segments(p0: F64, p1: F64, q0: F64, q1: F64) -> F64:
    """Least distance [...] between segments p0..p1 and q0..q1 [..., 3].

    Ericson, Real-Time Collision Detection (2005), 5.1.9.
    """
    d1, d2, r = p1 - p0, q1 - q0, p0 - q0
    a, e = (d1 * d1).sum(-1), (d2 * d2).sum(-1)
    b, c, f = (d1 * d2).sum(-1), (d1 * r).sum(-1), (d2 * r).sum(-1)
    denominator = np.maximum(a * e - b * b, 1e-12)
    s = np.clip((b * f - c * e) / denominator, 0.0, 1.0)
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    gap = (p0 + s[..., None] * d1) - (q0 + t[..., None] * d2)
    return np.asarray(np.sqrt((gap * gap).sum(-1)))


_BALL_LINKS = np.array([ball.link for ball in BALLS])
_BALL_AT = np.array([(*ball.at, 1.0) for ball in BALLS])
_RADII = np.array([ball.radius_m for ball in BALLS])
_ALL = (*MOVING, *STANDING)
_CAPSULE_LINKS = np.array([one.link for one in _ALL])
_CAPSULE_ENDS = (
    np.array([(*one.a, 1.0) for one in _ALL]),
    np.array([(*one.b, 1.0) for one in _ALL]),
)
_CAPSULE_RADII = np.array([one.radius_m for one in _ALL])
_PAIRS = np.array([(m, len(MOVING) + s) for m in range(len(MOVING)) for s in range(len(STANDING))])
_PAIR_NAMES = [f"{_ALL[m].name} too near to the {_ALL[s].name}" for m, s in _PAIRS]
