"""Whose episodes are learned from: their robot, their topics, their cameras, its actions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_robot(parser: argparse.ArgumentParser) -> None:
    """Declare what `recorded_robot` reads."""
    parser.add_argument(
        "--robot",
        default="",
        help="name in config/robots or YAML file: whose axes a new policy has (docs/robots.md)",
    )
    parser.add_argument(
        "--topics",
        type=Path,
        help="YAML file, with --robot: which topic of foreign bags holds what (docs/episodes.md)",
    )
    parser.add_argument(
        "--actions",
        type=Path,
        help="YAML or JSON file, with --robot: spaces of a new policy's actions (docs/robots.md)",
    )
    parser.add_argument(
        "--urdf", type=Path, help="robot description: units and limits of a new policy's joints"
    )


def recorded_robot(args: argparse.Namespace) -> dict[str, Any]:
    """Read the robot of the episodes, which topic of these holds what, and its cameras."""
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.episodes.read.topic_map import load_topic_map
    from arfm_ros.episodes.read.topics import topics_of
    from arfm_ros.learn.model.network import ModelConfig
    from arfm_ros.robots.files.load import load_robot

    for flag in ("topics", "actions"):
        if getattr(args, flag) and not args.robot:
            raise ConfigError(f"--{flag} needs --robot: whose joints it tells of")
    if not args.robot:
        return {}
    if args.urdf:
        raise ConfigError("--urdf with --robot: the robot has a description of its own")
    robot = load_robot(args.robot)
    topics = load_topic_map(args.topics, robot) if args.topics else topics_of(robot)
    given: dict[str, Any] = {"robot": robot, "topics": topics}
    if args.actions:
        given["actions"] = _read_actions(args.actions)
    if topics.cameras:
        cameras = tuple(camera(name) for name, _ in topics.cameras)
        given["model"] = ModelConfig(cameras=cameras)
    return given


def _read_actions(path: Path) -> tuple[dict[str, Any], ...]:
    import yaml

    from arfm_ros.core.errors import ConfigError, SpecError
    from arfm_ros.core.values.spec_reading import action_spaces

    try:
        return action_spaces(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, SpecError) as error:
        raise ConfigError(f"cannot read the action spaces {path}: {error}") from error


def camera(text: str) -> tuple[str, int, int]:
    """Read NAME or NAME=HEIGHTxWIDTH."""
    from arfm_ros.core.errors import ConfigError

    name, _, size = text.partition("=")
    sides = (size or "96x128").split("x")
    if not name or len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise ConfigError(f"--camera {text}: needs NAME or NAME=HEIGHTxWIDTH, as scene=96x128")
    return name, int(sides[0]), int(sides[1])
