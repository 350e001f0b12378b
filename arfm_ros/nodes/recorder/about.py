"""What is known of an episode before it begins: whose robot, which versions, who is in charge."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import yaml

from arfm_ros.core.errors import ConfigError
from arfm_ros.episodes.read.said import said_of
from arfm_ros.episodes.write.info import versions
from arfm_ros.nodes.recorder.params import RecorderParams
from arfm_ros.robots.files.load import find_robot, load_robot
from arfm_ros.robots.files.urdf import find_description


def about(params: RecorderParams) -> Mapping[str, object]:
    """Give what every episode of this recorder says of itself."""
    return {
        "operator": params.operator,
        "robot": params.robot,
        "robot_sha256": description_sha256(params.robot),
        **said_of(load_robot(params.robot)),
        "images": params.images,
        "versions": versions(),
    }


def description_sha256(robot: str) -> str:
    """Hash a robot's YAML with the URDF that it names; raises `ConfigError`."""
    path = find_robot(robot)
    digest = hashlib.sha256()
    try:
        text = path.read_text(encoding="utf-8")
        named = yaml.safe_load(text).get("description", "")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    digest.update(text.encode())
    if named:
        digest.update(find_description(str(named), path.parent)[0].encode())
    return digest.hexdigest()
