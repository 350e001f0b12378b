"""Write a robot as the YAML that it can be read from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import yaml

from arfm_ros.robots.files.reading import OPENING
from arfm_ros.robots.robot import Group, Robot, RobotAxis

ALWAYS = ("low", "high", "velocity", "acceleration", "home", "scale", "offset")
ODD = ("name", "unit", "mimics", "published", "slowdown")


def write_robot(robot: Robot, description: str = "") -> str:
    """Return the YAML of a robot; `description` names its URDF, "": the URDF goes into the text.

    What is read from it equals `robot`.
    """
    whole: dict[str, Any] = {
        "name": robot.name,
        "description": description or robot.description,
        "groups": {group.name: _group(group) for group in robot.groups},
        "cameras": {camera.name: camera.topic for camera in robot.cameras},
    }
    if robot.workspace:
        whole["workspace"] = list(robot.workspace)
    if robot.keep_out:
        rows = zip(*[iter(robot.keep_out)] * 6)
        whole["keep_out"] = [list(row) for row in rows]
    text = yaml.dump(whole, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return str(text)


def _group(group: Group) -> dict[str, Any]:
    given = group.controller.options
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    return {
        "kind": group.kind,
        "joints": {axis.name: _axis(axis) for axis in group.axes},
        "controller": {"kind": group.controller.kind, **options},
        "state_topics": list(group.state_topics),
        "command_topics": dict(group.command_topics),
        "base": group.base,
        "tool": group.tool,
    }


def _axis(axis: RobotAxis) -> dict[str, Any]:
    """Return what is said about an axis; limits always, so that no URDF is needed to know them."""
    values: dict[str, Any] = {"unit": axis.unit}
    for one in fields(RobotAxis):
        value = getattr(axis, one.name)
        if one.name not in ODD and (one.name in ALWAYS or value != one.default):
            values[one.name] = value
    if axis.published:
        values["published"] = axis.published
    if axis.slowdown is not None:
        values["slowdown"] = list(axis.slowdown)
    if axis.unit == OPENING and axis.mimics:
        joint, stroke, closed = axis.mimics[0]
        values["opening"] = {"joint": joint, "closed": closed, "open": closed + stroke}
    return values


class _Dumper(yaml.SafeDumper):
    """Numbers of a joint on one line, a description as it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
