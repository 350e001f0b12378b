"""What a URDF says about bodies: inertias, primitive shapes and where joints put them.

`robots.urdf` reads what limits and frames need; this is the rest, for physics and pictures.
Specification: wiki.ros.org/urdf/XML/link and /joint. Meshes are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.poses import Pose, from_euler_xyz

F64 = NDArray[np.float64]
SHAPES = ("box", "cylinder", "sphere")
EFFORT = 100.0  # Nm or N, of a joint that gives none


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A primitive: `size` is half the sides of a box, radius and half the length, or radius."""

    kind: str  # one of SHAPES
    size: tuple[float, ...]
    pose: Pose  # in the link


@dataclass(frozen=True, slots=True, eq=False)
class Inertia:
    """Mass kg, centre [3] m, and inertia [3, 3] kg m^2 about it in the axes of the link."""

    mass: float
    centre: F64
    tensor: F64


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A body."""

    name: str
    inertia: Inertia | None
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Hinge:
    """How a link hangs on another; `axis` in the axes of the child."""

    name: str
    kind: str  # revolute, continuous, prismatic, fixed
    parent: str
    child: str
    pose: Pose  # of the child in the parent, where the joint is at 0
    axis: F64
    span: tuple[float, float] | None  # None: without end
    effort: float  # Nm or N

    @property
    def moves(self) -> bool:
        """Tell whether it is no fixed joint."""
        return self.kind in ("revolute", "continuous", "prismatic")


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """All links of a description, and the joint above each but the root."""

    root: str
    links: Mapping[str, Link]
    above: Mapping[str, Hinge]  # link -> joint that it hangs on

    def below(self, link: str) -> tuple[Hinge, ...]:
        """List the joints that hang on a link."""
        return tuple(hinge for hinge in self.above.values() if hinge.parent == link)

    def subtree(self, link: str) -> tuple[str, ...]:
        """List a link and all that hangs on it."""
        rest = (name for hinge in self.below(link) for name in self.subtree(hinge.child))
        return (link, *rest)

    def chain(self, link: str) -> tuple[Hinge, ...]:
        """List the joints from the root to a link."""
        hinge = self.above.get(link)
        return () if hinge is None else (*self.chain(hinge.parent), hinge)

    def still_pose(self, link: str) -> Pose:
        """Return the pose of a link in the root where every joint is at 0."""
        matrix = np.eye(4)
        for hinge in self.chain(link):
            matrix = matrix @ hinge.pose.matrix
        return Pose(matrix)


def read_tree(text: str) -> Tree:
    """Read the bodies of a URDF; raises `ConfigError` for numbers that are none."""
    try:
        root = ElementTree.fromstring(text.strip())
        links = {link.get("name", ""): _link(link) for link in root.findall("link")}
        hinges = [_hinge(joint) for joint in root.findall("joint")]
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(f"the robot description is no URDF to simulate: {error}") from error
    above = {hinge.child: hinge for hinge in hinges}
    top = next(name for name in links if name not in above)
    return Tree(top, links, above)


def _numbers(text: str, count: int) -> F64:
    values = np.array([float(word) for word in text.split()])
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"'{text}', needs {count} numbers")
    return values


def _origin(element: ElementTree.Element) -> Pose:
    origin = element.find("origin")
    if origin is None:
        return Pose(np.eye(4))
    at = _numbers(origin.get("xyz", "0 0 0"), 3)
    return Pose.of(at, from_euler_xyz(_numbers(origin.get("rpy", "0 0 0"), 3)))


def _link(element: ElementTree.Element) -> Link:
    found = [_shape(one) for one in element.findall("collision")]
    shapes = tuple(shape for shape in found if shape is not None)
    return Link(element.get("name", ""), _inertia(element.find("inertial")), shapes)


def _inertia(element: ElementTree.Element | None) -> Inertia | None:
    if element is None:
        return None
    mass, tensor = element.find("mass"), element.find("inertia")
    value = 0.0 if mass is None else float(mass.get("value", "0"))
    if tensor is None or not value > 0.0:
        return None
    pose = _origin(element)
    xx, yy, zz, xy, xz, yz = (
        float(tensor.get(f"i{name}", "0")) for name in ("xx", "yy", "zz", "xy", "xz", "yz")
    )
    own = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return Inertia(value, pose.position, pose.rotation @ own @ pose.rotation.T)


def _shape(element: ElementTree.Element) -> Shape | None:
    for kind in SHAPES:
        found = element.find(f"geometry/{kind}")
        if found is not None:
            return Shape(kind, _size(kind, found), _origin(element))
    return None


def _size(kind: str, element: ElementTree.Element) -> tuple[float, ...]:
    if kind == "box":
        return tuple(0.5 * _numbers(element.get("size", ""), 3))
    radius = float(element.get("radius", ""))
    return (radius,) if kind == "sphere" else (radius, 0.5 * float(element.get("length", "")))


def _hinge(element: ElementTree.Element) -> Hinge:
    kind, limit, axis = element.get("type", ""), element.find("limit"), element.find("axis")
    ends = {end.tag: end.get("link", "") for end in element if end.tag in ("parent", "child")}
    given = {} if limit is None else {k: float(v) for k, v in limit.attrib.items()}
    bounded = kind in ("revolute", "prismatic") and limit is not None
    along = _numbers("1 0 0" if axis is None else axis.get("xyz", "1 0 0"), 3)
    return Hinge(
        element.get("name", ""),
        kind,
        ends.get("parent", ""),
        ends.get("child", ""),
        _origin(element),
        along / max(float(np.linalg.norm(along)), 1e-12),
        (given.get("lower", 0.0), given.get("upper", 0.0)) if bounded else None,
        given.get("effort", 0.0) or EFFORT,
    )
