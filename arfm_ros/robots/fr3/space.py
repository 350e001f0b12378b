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
        walls = boxes("keep_out", keep_out)
        self._low, self._high = np.array(walls).reshape(-1, 2, 1, 3).swapaxes(0, 1)  # [B, 1, 3]
        self._distance = self_distance
        if len(self._room) > 1:
            raise ConfigError(f"workspace has {len(workspace)} numbers, needs 6, or none")
        self._names = self._list_names(len(walls))
        self.reach = np.append(_reach(), 0.0)  # the opening of the gripper moves nothing

    def depth(self, positions: F64) -> F64:
        """Return how far [...] m the worst part of the arm is outside at positions [..., A]."""
        return np.asarray(self._depths(positions).max(axis=-1))

    def describe(self, position: F64) -> str:
        """Say what a position [A] violates most."""
        depths = self._depths(position)
        worst = int(np.argmax(depths))
        return f"{self._names[worst]} by {depths[worst] * 1000:.0f} mm"

    def _depths(self, positions: F64) -> F64:
        """Return how far [..., K] m each is outside, in the order of `_names`."""
        points = _points(kinematics.link_transforms(positions[..., : fr3.DOF]))
        depths = []
        if len(self._room):
            (low, high), tool = self._room[0], points[..., 0, :]
            depths.append(np.maximum(low - tool, tool - high).max(axis=-1, keepdims=True))
        if len(self._low):
            balls = points[..., None, : len(BALLS), :]
            inside = np.minimum(balls - self._low, self._high - balls).min(axis=-1) + _RADII
            depths.append(inside.reshape(*inside.shape[:-2], -1))
        if self._distance > -1.0:
            depths.append(self._distance - _gaps(points))
        return np.concatenate(depths, axis=-1)

    def _list_names(self, walls: int) -> list[str]:
        names = ["tool leaves the workspace"] if len(self._room) else []
        for number in range(walls):
            names += [f"{ball.name} enters keep-out box {number + 1}" for ball in BALLS]
        return names + (_PAIR_NAMES if self._distance > -1.0 else [])


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


def _reach() -> F64:
    """Return [7] how far any ball or capsule moves at most, m for a radian of each joint."""
    each = [kinematics.chain().reach(link, at) for link, at in zip(_LINKS, _AT) if link >= 0]
    return np.asarray(np.max(each, axis=0))


def _points(frames: F64) -> F64:
    """Centres of the balls, then the ends a and the ends b of all capsules [..., K, 3]."""
    links = frames[..., _TURNING_LINKS, :3, :]
    points = np.empty((*frames.shape[:-3], *_AT.shape))
    points[...] = _AT  # those of the base stay
    points[..., _TURNING, :] = (links[..., :3] @ _TURNING_AT)[..., 0] + links[..., 3]
    return points


def _gaps(points: F64) -> F64:
    """Distances [..., P] between the surfaces of the moving and the standing capsules."""
    ends = points[..., _PAIR_ENDS, :]  # [..., 4, P, 3]: a and b of the first, of the second
    return np.asarray(_between_segments(ends) - _PAIR_RADII)


def _between_segments(ends: F64) -> F64:
    """Least distance [...] between segments; their ends [..., 4, P, 3].

    Ericson, Real-Time Collision Detection (2005), 5.1.9.
    """
    p0, p1, q0, q1 = (ends[..., k, :, :] for k in range(4))
    d1, d2, r = p1 - p0, q1 - q0, p0 - q0
    sides = np.stack([d1, d2, r], axis=-2)
    products = sides[..., :2, :] @ sides.swapaxes(-1, -2)  # all at once: [..., P, 2, 3]
    a, b, c = products[..., 0, 0], products[..., 0, 1], products[..., 0, 2]
    e, f = products[..., 1, 1], products[..., 1, 2]
    s = _unit((b * f - c * e) / np.maximum(a * e - b * b, 1e-12))
    t = _unit((b * s + f) / e)
    s = _unit((b * t - c) / a)
    gap = r + s[..., None] * d1 - t[..., None] * d2
    return np.asarray(np.sqrt((gap * gap).sum(-1)))


def _unit(values: F64) -> F64:
    clipped: F64 = np.minimum(np.maximum(values, 0.0), 1.0)
    return clipped


_RADII = np.array([ball.radius_m for ball in BALLS])
_ALL = (*MOVING, *STANDING)
_LINKS = np.array([one.link for one in (*BALLS, *_ALL, *_ALL)])
_AT = np.array([ball.at for ball in BALLS] + [one.a for one in _ALL] + [one.b for one in _ALL])
_TURNING = np.flatnonzero(_LINKS >= 0)  # not of the base
_TURNING_LINKS, _TURNING_AT = _LINKS[_TURNING], _AT[_TURNING, :, None]
_PAIRS = np.array([(m, len(MOVING) + s) for m in range(len(MOVING)) for s in range(len(STANDING))])
_PAIR_NAMES = [f"{_ALL[m].name} too near to the {_ALL[s].name}" for m, s in _PAIRS]
_PAIR_RADII = np.array([_ALL[m].radius_m + _ALL[s].radius_m for m, s in _PAIRS])
_A, _B = len(BALLS), len(BALLS) + len(_ALL)  # where the ends a and b begin among the points
_PAIR_ENDS = np.stack([_A + _PAIRS[:, 0], _B + _PAIRS[:, 0], _A + _PAIRS[:, 1], _B + _PAIRS[:, 1]])
