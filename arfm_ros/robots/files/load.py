"""Read a robot: one YAML (groups, controllers, topics) and the URDF that it names."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values import strict
from arfm_ros.installed import share
from arfm_ros.robots.files.boxes import read_boxes
from arfm_ros.robots.files.reading import checked, read_group, texts
from arfm_ros.robots.files.urdf import Urdf, find_description, missing_meshes, read_urdf
from arfm_ros.robots.robot import Robot, RobotAxis, RobotCamera

ROBOT_KEYS = ("name", "description", "groups", "cameras", "workspace", "keep_out")


def robot_names() -> tuple[str, ...]:
    """List the robots that are shipped in config/robots."""
    return tuple(sorted(path.stem for path in share("config", "robots").glob("*.yaml")))


def find_robot(name: str) -> Path:
    """Find the YAML of a robot by its name in config/robots or by its path."""
    if name in robot_names():
        return share("config", "robots", f"{name}.yaml")
    path = Path(name).expanduser()
    if not path.is_file():
        known = ", ".join(robot_names())
        raise ConfigError(f"there is no robot '{name}': give a YAML file, or one of: {known}")
    return path


def load_robot(name: str, description: str = "") -> Robot:
    """Read a robot by its name in config/robots or from a YAML file; raises `ConfigError`.

    `description`: the URDF's text, where a running robot has told its own.
    """
    path = find_robot(name)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    try:
        return read_robot(text, path.parent, description)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error


def read_robot(text: str, near: Path | None = None, description: str = "") -> Robot:
    """Read a robot from the text of its YAML; paths in it are relative to the folder `near`.

    `description`: the URDF's text instead of what the YAML names.
    """
    try:
        given = checked(_parse(text), ROBOT_KEYS, "the robot")
        urdf = _description(description or given.get("description", ""), near)
        groups = strict.table(given.get("groups"), "groups")
        robot = Robot(
            strict.text(given.get("name", ""), "name"),
            tuple(read_group(str(name), raw, urdf) for name, raw in groups.items()),
            tuple(RobotCamera(*c) for c in texts(given.get("cameras", {}), "cameras").items()),
            "" if urdf is None else urdf.text,
            read_boxes([given["workspace"]] if "workspace" in given else [], "workspace"),
            read_boxes(given.get("keep_out", []), "keep_out"),
        )
    except SpecError as error:
        raise ConfigError(str(error)) from error
    if not robot.name:
        raise ConfigError("the robot has no name: give one, name: my_arm")
    _refuse_shared_joints(robot)
    return robot


def findings(robot: Robot, near: Path | None = None) -> tuple[str, ...]:
    """List what is worth knowing about a robot and keeps nothing from working."""
    if not robot.description:
        return ("no description: limits are those of the YAML, no kinematics",)
    urdf = read_urdf(robot.description)
    found = []
    meshes = missing_meshes(urdf, near)
    if meshes:
        more = f" and {len(meshes) - 1} more" if len(meshes) > 1 else ""
        found.append(f"mesh {meshes[0]}{more} not found: only pictures need it")
    driven = {joint for axis in robot.axes for joint in _driven(axis)}
    idle = [name for name in urdf.movable if name not in driven]
    if idle:
        found.append(f"in no group, taken as standing at 0: {', '.join(idle)}")
    found += [
        f"group '{group.name}' names no tool: no poses, joints only"
        for group in robot.groups
        if group.kind == "arm" and not group.tool
    ]
    return tuple(found)


def _driven(axis: RobotAxis) -> tuple[str, ...]:
    return tuple(dict.fromkeys((axis.name, *(name for name, _, _ in axis.mimics))))


def _refuse_shared_joints(robot: Robot) -> None:
    owner: dict[str, str] = {}
    for axis in robot.axes:
        for joint in _driven(axis):
            if joint in owner:
                raise ConfigError(
                    f"joint '{joint}' is moved by '{owner[joint]}' and by '{axis.name}': "
                    "leave it to one"
                )
            owner[joint] = axis.name


def _description(raw: object, near: Path | None) -> Urdf | None:
    if raw in ("", None):
        return None
    if not isinstance(raw, str):
        raise ConfigError(f"description is {raw!r:.40}, needs a path, package://... or the URDF")
    return read_urdf(*find_description(raw, near))


class _Loader(yaml.SafeLoader):
    """YAML in which nothing is said twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigError(f"'{key.value}' is there twice (line {line}): leave it once")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"no YAML: {' '.join(str(error).split())}") from error
