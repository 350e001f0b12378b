"""Read a robot description (URDF): its joints with units and limits, its frames, its meshes.

Specification: wiki.ros.org/urdf/XML. Only what the stack needs is read; no ROS is needed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isinf, isnan
from pathlib import Path
from xml.etree import ElementTree

from arfm_ros.core.errors import ConfigError
from arfm_ros.installed import PACKAGE, share

UNITS = {"revolute": "rad", "continuous": "rad", "prismatic": "m"}  # of the joints that move
STILL = ("fixed", "floating", "planar")
SCHEME = "package://"
INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True, slots=True)
class Mimic:
    """A joint that follows another: position = multiplier * other + offset."""

    joint: str
    multiplier: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Joint:
    """A joint of a URDF; limits that it does not give are infinite, a velocity 0."""

    name: str
    kind: str  # revolute, continuous, prismatic, fixed, ...
    parent: str
    child: str
    low: float = -INF
    high: float = INF
    velocity: float = 0.0
    mimic: Mimic | None = None

    @property
    def unit(self) -> str:
        """Unit of its position, "" where it is fixed."""
        return UNITS.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Urdf:
    """What a robot description says, and its text."""

    name: str
    joints: Mapping[str, Joint]
    links: tuple[str, ...]
    root: str
    meshes: tuple[str, ...]
    text: str

    @property
    def movable(self) -> tuple[str, ...]:
        """Names of the joints that can be commanded: they move and follow no other."""
        return tuple(j.name for j in self.joints.values() if j.unit and j.mimic is None)

    def followers(self, joint: str) -> tuple[tuple[str, float, float], ...]:
        """List the joints that follow `joint`: name, multiplier, offset."""
        return tuple(
            (j.name, j.mimic.multiplier, j.mimic.offset)
            for j in self.joints.values()
            if j.mimic is not None and j.mimic.joint == joint
        )


def read_urdf(text: str, where: str = "the robot description") -> Urdf:
    """Read an expanded URDF; raises `ConfigError` that says what is wrong with `where`."""
    root = _parse(text, where)
    joints = [_joint(element, where) for element in root.findall("joint")]
    links = [link.get("name", "") for link in root.findall("link")]
    _refuse_repeated([joint.name for joint in joints], f"{where}: joint")
    _refuse_repeated(links, f"{where}: link")
    meshes = [mesh.get("filename", "") for mesh in root.iter("mesh")]
    by_name = {joint.name: joint for joint in joints}
    _check_mimics(by_name, where)
    return Urdf(
        root.get("name", ""),
        by_name,
        tuple(links),
        _root_link(joints, links, where),
        tuple(dict.fromkeys(meshes)),
        text,
    )


def find_description(source: str, near: Path | None = None) -> tuple[str, str]:
    """Return the text of a description and where it came from.

    `source` is the URDF itself, a path (relative to the folder `near`), or package://PACKAGE/PATH.
    """
    if source.lstrip().startswith("<"):
        return source, "the description in the file"
    path = resolve(source, near)
    try:
        return path.read_text(), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the description {path}: {error}") from error


def resolve(source: str, near: Path | None = None) -> Path:
    """Turn a path, file:// or package:// into a path; raises `ConfigError` for no such package."""
    if not source.startswith(SCHEME):
        path = Path(source.removeprefix("file://")).expanduser()
        return path if path.is_absolute() or near is None else near / path
    package, _, rest = source.removeprefix(SCHEME).partition("/")
    folder = find_package(package)
    if folder is None:
        raise ConfigError(
            f"{source}: package '{package}' is not on AMENT_PREFIX_PATH: source its workspace, or "
            "give the path of the file"
        )
    return folder / rest


def find_package(package: str) -> Path | None:
    """Find the share folder of a ROS package; our own is found without ROS."""
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        folder = Path(prefix, "share", package)
        if prefix and folder.is_dir():
            return folder
    return share("config").parent if package == PACKAGE else None


def missing_meshes(urdf: Urdf, near: Path | None = None) -> tuple[str, ...]:
    """List the meshes of a description that are not on this machine."""
    missing = []
    for mesh in urdf.meshes:
        try:
            if not resolve(mesh, near).is_file():
                missing.append(mesh)
        except ConfigError:
            missing.append(mesh)
    return tuple(missing)


def _parse(text: str, where: str) -> ElementTree.Element:
    unexpanded = ConfigError(
        f"{where} is xacro that is not expanded: run xacro FILE.urdf.xacro > FILE.urdf and name "
        "that file"
    )
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        if "<xacro:" in text:  # with a prefix that nothing declares
            raise unexpanded from error
        raise ConfigError(f"{where} is no XML: {error}") from error
    if root.tag != "robot":
        raise ConfigError(f"{where} is no URDF: its first element is <{root.tag}>, needs <robot>")
    if any("xacro}" in element.tag for element in root.iter()):
        raise unexpanded
    return root


def _joint(element: ElementTree.Element, where: str) -> Joint:
    name, kind = element.get("name", ""), element.get("type", "")
    if kind not in UNITS and kind not in STILL:
        known = ", ".join((*UNITS, *STILL))
        raise ConfigError(f"{where}: joint '{name}' is of type '{kind}', known: {known}")
    ends = {end.tag: end.get("link", "") for end in element if end.tag in ("parent", "child")}
    limit, mimic = element.find("limit"), element.find("mimic")
    given = {} if limit is None else {k: _number(limit, k, name, where) for k in limit.attrib}
    bounded = limit is not None and kind in ("revolute", "prismatic")
    return Joint(
        name,
        kind,
        ends.get("parent", ""),
        ends.get("child", ""),
        given.get("lower", 0.0) if bounded else -INF,
        given.get("upper", 0.0) if bounded else INF,
        given.get("velocity", 0.0),
        _mimic(mimic, name, where) if mimic is not None and kind in UNITS else None,
    )


def _mimic(element: ElementTree.Element, name: str, where: str) -> Mimic:
    numbers = {k: _number(element, k, name, where) for k in element.attrib if k != "joint"}
    multiplier, offset = numbers.get("multiplier", 1.0), numbers.get("offset", 0.0)
    return Mimic(element.get("joint", ""), multiplier, offset)


def _number(element: ElementTree.Element, key: str, name: str, where: str) -> float:
    text = element.get(key, "")
    try:
        value = float(text)
    except ValueError:
        value = NAN
    if isnan(value) or (isinf(value) and element.tag == "mimic"):
        raise ConfigError(
            f"{where}: joint '{name}' has {key}=\"{text}\" in <{element.tag}>, needs a number"
        )
    return value


def _refuse_repeated(names: list[str], what: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ConfigError(f"{what} '{repeated[0]}' is there twice: give each a name of its own")


def _check_mimics(joints: Mapping[str, Joint], where: str) -> None:
    for joint in joints.values():
        if joint.mimic is None:
            continue
        leader = joints.get(joint.mimic.joint)
        if leader is None or leader.mimic is not None or not leader.unit:
            raise ConfigError(
                f"{where}: joint '{joint.name}' follows '{joint.mimic.joint}', needs a movable "
                "joint that follows no other"
            )


def _root_link(joints: list[Joint], links: list[str], where: str) -> str:
    for joint in joints:
        for link in (joint.parent, joint.child):
            if link not in links:
                raise ConfigError(f"{where}: joint '{joint.name}' is at '{link}', no such link")
    above = {joint.child: joint.parent for joint in joints}
    if len(above) < len(joints):
        children = [joint.child for joint in joints]
        twice = next(child for child in children if children.count(child) > 1)
        raise ConfigError(f"{where}: link '{twice}' hangs on two joints, needs one")
    roots = [link for link in links if link not in above]
    if len(roots) != 1 or len(_hanging(roots[0], above)) < len(links):
        found = ", ".join(roots) or "none"
        raise ConfigError(
            f"{where}: links that hang on nothing: {found}; needs one, and all others on it"
        )
    return roots[0]


def _hanging(root: str, above: Mapping[str, str]) -> set[str]:
    """Find the links that hang on the root, it among them."""
    found = {root}
    while True:
        more = {child for child, parent in above.items() if parent in found} - found
        if not more:
            return found
        found |= more


def without_meshes(text: str) -> str:
    """Return the description without pictures and without collision shapes that are meshes."""
    root = ElementTree.fromstring(text.strip())
    for link in root.iter("link"):
        shapes = link.findall("collision")
        meshes = [shape for shape in shapes if shape.find("geometry/mesh") is not None]
        for element in (*link.findall("visual"), *meshes):
            link.remove(element)
    return ElementTree.tostring(root, encoding="unicode")
