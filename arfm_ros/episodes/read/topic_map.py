"""Read a topic map: a YAML file that says which topic of a foreign recording holds what.

docs/episodes.md has an example. Joints are named as the robot's messages name them, or as its
axes are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values import strict
from arfm_ros.episodes.read.topics import Call, Source, Topics, calls_of, topics_of
from arfm_ros.robots.files.reading import checked
from arfm_ros.robots.robot import Robot

KEYS = (
    *("states", "commands", "next_state", "cameras", "groups"),
    *("instruction", "instruction_topic", "task", "success", "success_topic", "times"),
)
SOURCE_KEYS = ("topic", "group", "joints", "names", "scale", "offset")
TIMES = ("header", "received")
FINITE = (-1e9, 1e9)
MOST = 128  # entries of a list


def load_topic_map(path: Path, robot: Robot) -> Topics:
    """Read a topic map for a robot; raises `ConfigError` naming what does not fit."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the topic map {path}: {error}") from error
    try:
        return read_topic_map(text, robot)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error


def read_topic_map(text: str, robot: Robot) -> Topics:
    """Read the text of a topic map; what it leaves out is as in our own recordings of a robot."""
    try:
        given = checked(yaml.safe_load(text) or {}, KEYS, "the topic map")
        return _topics(given, robot)
    except yaml.YAMLError as error:
        raise ConfigError(f"no YAML: {' '.join(str(error).split())}") from error
    except SpecError as error:
        raise ConfigError(str(error)) from error


def _topics(given: dict[str, Any], robot: Robot) -> Topics:
    topics = topics_of(robot)
    following = _axes(given.get("next_state", []), robot)
    if "states" in given:
        topics = replace(topics, states=_sources(given["states"], "states", robot))
    if "commands" in given or following:
        topics = replace(topics, commands=_sources(given.get("commands", []), "commands", robot))
    if "cameras" in given:
        topics = replace(topics, cameras=_cameras(given["cameras"]))
    words = ("instruction", "instruction_topic", "task", "success_topic")
    texts: dict[str, Any] = {key: strict.text(given[key], key) for key in words if key in given}
    times = given.get("times", TIMES[0])
    if times not in TIMES:
        raise ConfigError(f"times is '{times}', needs one of {', '.join(TIMES)}")
    success = strict.flag(given["success"], "success") if "success" in given else None
    groups = _names(given.get("groups", []), "groups")
    for name in groups:
        robot.group(name)
    return replace(
        topics,
        next_state=following,
        groups=groups,
        success=success,
        received=times == "received",
        **texts,
    )


def _axes(raw: object, robot: Robot) -> tuple[str, ...]:
    """Read names of groups and of axes as those of axes; true: all."""
    if raw is True:
        return robot.names
    groups = {group.name: group.names for group in robot.groups}
    found: list[str] = []
    for name in _names(raw, "next_state"):
        if name not in groups and name not in robot.names:
            known = ", ".join((*groups, *robot.names))
            raise ConfigError(f"next_state has '{name}', robot '{robot.name}' has: {known}")
        found += groups.get(name, (name,))
    return tuple(dict.fromkeys(found))


def _sources(raw: object, where: str, robot: Robot) -> tuple[Source, ...]:
    entries = strict.rows(raw, where, MOST)
    return tuple(_source(one, f"{where}[{n}]", robot) for n, one in enumerate(entries))


def _source(raw: object, where: str, robot: Robot) -> Source:
    given = {"topic": raw} if isinstance(raw, str) else checked(raw, SOURCE_KEYS, where)
    topic = strict.text(given.get("topic", ""), f"{where}: topic")
    if not topic:
        raise ConfigError(f"{where} names no topic (key topic)")
    one = "group" in given
    groups = [robot.group(strict.text(given["group"], where))] if one else robot.groups
    calls = calls_of(*groups)
    names = strict.table(given.get("names", {}), f"{where}: names")
    calls = (*(_renamed(said, axis, calls, where) for said, axis in names.items()), *calls)
    for key in ("scale", "offset"):
        if key in given:
            value: dict[str, Any] = {key: strict.number(given[key], f"{where}: {key}", FINITE)}
            calls = tuple(replace(call, **value) for call in calls)
    return Source(topic, calls, _names(given.get("joints", []), f"{where}: joints"))


def _renamed(said: object, axis: object, calls: Sequence[Call], where: str) -> Call:
    """Give an axis another name; its numbers mean what they mean where it is published."""
    call = next((call for call in calls if axis in (call.axis, call.said)), None)
    if call is None:
        known = ", ".join(dict.fromkeys(call.axis for call in calls))
        raise ConfigError(f"{where}: names has '{axis}', known axes: {known}")
    return replace(call, said=strict.text(said, where))


def _cameras(raw: object) -> tuple[tuple[str, str], ...]:
    given = strict.table(raw, "cameras")
    return tuple(
        (strict.text(name, "cameras"), strict.text(topic, f"cameras.{name}"))
        for name, topic in given.items()
    )


def _names(raw: object, where: str) -> tuple[str, ...]:
    return tuple(strict.text(name, where) for name in strict.rows(raw, where, MOST))
