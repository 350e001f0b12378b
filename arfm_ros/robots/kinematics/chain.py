"""Where an arm's links are, in numpy, for many postures at once: no pinocchio is needed.

Positions q [..., A] are in the order of the group's axes; every other joint stands at home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.bodies import Hinge, read_tree
from arfm_ros.robots.poses import Pose
from arfm_ros.robots.robot import Robot, RobotAxis

F64 = NDArray[np.float64]
Share = tuple[int, float, float]  # which axis [A] moves a joint: column, k, b; k * q + b


class Chain:
    """The joints between the base of a group and its tool; of all its axes, for any thread."""

    def __init__(self, robot: Robot, group: str, frame: str = "") -> None:
        """Take the chain to a frame ("": the group's tool).

        Raises `ConfigError` where the robot has no description or the frame is not in it.
        """
        chosen = robot.group(group)
        self.axes, self.name = chosen.axes, chosen.name
        if not robot.description:
            raise ConfigError(
                f"robot '{robot.name}' has no description: name its URDF in the YAML "
                "(description: my_arm.urdf) for kinematics"
            )
        self._tree = read_tree(robot.description)
        self._own = dict(_shares(chosen.axes))
        self._home = _at_home(robot.axes)
        self._base = self._standing(chosen.base or self._tree.root)
        self._links = self._links_to(frame or chosen.tool)

    @property
    def base_names(self) -> tuple[str, ...]:
        """Names of the frames that are the base: it, and what is fixed to it at the same place."""
        return tuple(
            name
            for name in self._tree.links
            if all(hinge.name not in self._own for hinge in self._tree.chain(name))
            and np.allclose(self._standing(name), self._base, atol=1e-9)
        )

    def frames(self, q: ArrayLike) -> F64:
        """Return the frames [..., N, 4, 4] of the N links that the axes turn or push, in order."""
        links, at = self._links, np.asarray(q, dtype=np.float64)
        joints = at[..., links.columns] * links.k + links.b
        first = np.where(links.slides, joints, np.sin(joints))[..., None, None]
        second = np.where(links.slides, 0.0, np.cos(joints))[..., None, None]
        frames = links.still + first * links.sine + second * links.cosine
        for i in range(1, frames.shape[-3]):
            frames[..., i, :, :] = frames[..., i - 1, :, :] @ frames[..., i, :, :]
        return np.asarray(frames)

    def reach(self, link: int, at: ArrayLike) -> F64:
        """Return [A] how far a point at most moves for a unit of each axis, m.

        The point is `at` [3] in the frame of the moved link number `link`: in whatever posture,
        no joint is further from it than the links in between are long. For chains that only turn.
        """
        if self._links.slides.any():
            raise ConfigError(f"group '{self.name}' has joints that slide: no reach is known")
        lengths = np.linalg.norm(self._links.still[:, :3, 3], axis=1)
        reach, far = np.zeros(len(self.axes)), float(np.linalg.norm(at))
        for joint in range(link, -1, -1):
            reach[self._links.columns[joint]] += far * abs(self._links.k[joint])
            far += float(lengths[joint])
        return reach

    def forward(self, q: ArrayLike) -> Pose:
        """Return the pose [...] of the chain's end in the base at positions q [..., A]."""
        if not len(self._links.k):
            shape = np.asarray(q).shape[:-1]
            return Pose(np.broadcast_to(self._links.end, (*shape, 4, 4)))
        return Pose(self.frames(q)[..., -1, :, :] @ self._links.end)

    def jacobian(self, q: ArrayLike) -> F64:
        """Return the geometric Jacobian [6, A] of the end: linear, then angular, base axes."""
        links, frames = self._links, self.frames(q)
        end = (frames[-1] @ links.end)[:3, 3]
        axes = (frames[:, :3, :3] @ links.along[..., None])[..., 0]
        turned = np.cross(axes, end - frames[:, :3, 3])
        slides = links.slides[:, None]
        each = np.hstack([np.where(slides, axes, turned), np.where(slides, 0.0, axes)])
        jacobian = np.zeros((6, len(self.axes)))
        np.add.at(jacobian.T, links.columns, each * links.k[:, None])
        return jacobian

    def _standing(self, link: str) -> F64:
        """Return the transform of a link that no axis of the group moves in the root."""
        matrix = np.eye(4)
        for hinge in self._way(link):
            if hinge.name in self._own:
                raise ConfigError(
                    f"base '{link}' of group '{self.name}' moves: name a frame that stands"
                )
            matrix = matrix @ self._at_rest(hinge)
        return matrix

    def _links_to(self, frame: str) -> _Links:
        """Fold what stands between two of the group's joints into the second one."""
        before, moved = np.linalg.inv(self._base), []
        for hinge in self._way(frame):
            if hinge.name in self._own:
                moved.append((before @ hinge.pose.matrix, hinge, self._own[hinge.name]))
                before = np.eye(4)
            else:
                before = before @ self._at_rest(hinge)
        return _links(moved, before)

    def _way(self, link: str) -> tuple[Hinge, ...]:
        if link not in self._tree.links:
            found = f"frame '{link}'" if link else "frame, and no tool in its YAML"
            known = ", ".join(self._tree.links)
            raise ConfigError(f"group '{self.name}' has no {found}; the description has {known}")
        return self._tree.chain(link)

    def _at_rest(self, hinge: Hinge) -> F64:
        value = self._home.get(hinge.name, 0.0) if hinge.moves else 0.0
        still, sine, cosine = _motion(hinge)
        if not hinge.moves or not value:
            return hinge.pose.matrix
        first, second = (value, 0.0) if _slides(hinge) else (np.sin(value), np.cos(value))
        return np.asarray(hinge.pose.matrix @ (still + first * sine + second * cosine))


@dataclass(frozen=True, slots=True, eq=False)
class _Links:
    """The N moved joints: local transform = still + (sin or q) * sine + cos * cosine."""

    still: F64  # [N, 4, 4]
    sine: F64
    cosine: F64
    along: F64  # [N, 3] axes of the joints
    slides: NDArray[np.bool_]  # [N] prismatic
    columns: NDArray[np.intp]  # [N] of the axes
    k: F64
    b: F64
    end: F64  # [4, 4] of the chain's end in the last moved link


def tool_chain(robot: Robot) -> Chain | None:
    """Return the chain to the tool of a robot's only arm with one; None: none, or several."""
    arms = [group for group in robot.groups if group.kind == "arm" and group.tool]
    return Chain(robot, arms[0].name) if len(arms) == 1 and robot.description else None


def _links(moved: list[tuple[F64, Hinge, Share]], end: F64) -> _Links:
    motions = [[place @ part for part in _motion(hinge)] for place, hinge, _ in moved]
    still, sine, cosine = np.array(motions).reshape(len(moved), 3, 4, 4).swapaxes(0, 1)
    shares = [share for _, _, share in moved]
    return _Links(
        still,
        sine,
        cosine,
        np.array([hinge.axis for _, hinge, _ in moved]).reshape(-1, 3),
        np.array([_slides(hinge) for _, hinge, _ in moved], bool),
        np.array([column for column, _, _ in shares], np.intp),
        np.array([k for _, k, _ in shares]),
        np.array([b for _, _, b in shares]),
        end,
    )


def _motion(hinge: Hinge) -> tuple[F64, F64, F64]:
    """Return what a joint does: constant, times sine (or position), times cosine; each [4, 4]."""
    a, still, sine, cosine = hinge.axis, np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4))
    still[3, 3] = 1.0
    if _slides(hinge):
        still[:3, :3], sine[:3, 3] = np.eye(3), a
        return still, sine, cosine
    still[:3, :3] = np.outer(a, a)
    sine[:3, :3] = [[0.0, -a[2], a[1]], [a[2], 0.0, -a[0]], [-a[1], a[0], 0.0]]
    cosine[:3, :3] = np.eye(3) - np.outer(a, a)
    return still, sine, cosine


def _slides(hinge: Hinge) -> bool:
    return hinge.kind == "prismatic"


def _shares(axes: tuple[RobotAxis, ...]) -> Iterator[tuple[str, Share]]:
    for column, axis in enumerate(axes):
        yield axis.name, (column, 1.0, 0.0)
        yield from ((name, (column, k, b)) for name, k, b in axis.mimics)


def _at_home(axes: tuple[RobotAxis, ...]) -> Mapping[str, float]:
    """Return where every joint of the robot stands at home."""
    return {name: k * axes[column].home + b for name, (column, k, b) in _shares(axes)}
