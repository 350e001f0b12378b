"""Topics of a robot: where it tells its state, hears commands and shows its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.arbiter.actions import is_action
from arfm_ros.nodes.ros.topics import (
    CAMERA_INFO,
    COMMAND,
    COMPRESSED_IMAGE,
    IMAGE,
    JOINT_STATES,
    Topic,
)
from arfm_ros.robots.commands.whole import WholeRobot
from arfm_ros.robots.robot import Robot

COMPRESSED = "/compressed"


@dataclass(frozen=True, slots=True)
class CameraRows:
    """The topics of one camera: raw pictures, compressed ones, what is known of the lens."""

    raw: Topic
    compressed: Topic
    info: Topic
    named_compressed: bool = False  # who named it named the compressed pictures

    @staticmethod
    def of(name: str, topic: str = "") -> CameraRows:
        """Name them as image_transport does, beside `topic` (raw or compressed pictures)."""
        raw = (topic or IMAGE.of(name).name).removesuffix(COMPRESSED)
        info = "/".join((*raw.split("/")[:-1], "camera_info"))
        rows = IMAGE.at(raw), COMPRESSED_IMAGE.at(raw + COMPRESSED), CAMERA_INFO.at(info)
        return CameraRows(*rows, topic.endswith(COMPRESSED))


def camera_rows(robot: Robot, entries: Sequence[str] = ()) -> dict[str, CameraRows]:
    """Return the topics of cameras given as `name` or `name=topic`; of none: all of the robot's.

    Raises `ConfigError` for another entry, and for a name given twice.
    """
    own = {camera.name: camera.topic for camera in robot.cameras}
    found: dict[str, CameraRows] = {}
    for entry in filter(None, entries or tuple(own)):
        name, given, topic = (part.strip() for part in entry.partition("="))
        if not name or (given and not topic) or name in found:
            raise ConfigError(
                f"cameras has entry '{entry}', needs different entries like 'wrist' or "
                "'wrist=hand_camera/color/image_raw'"
            )
        found[name] = CameraRows.of(name, topic or own.get(name, ""))
    return found


def rows(robot: Robot) -> tuple[Topic, ...]:
    """Return state and command topics; what goes by an action is no topic."""
    states = dict.fromkeys(t for group in robot.groups for t in group.state_topics)
    listened = [topic for those in WholeRobot(robot).topics().values() for topic in those]
    commands = [
        Topic(topic.name, topic.interface, COMMAND, COMMAND)
        for topic in listened
        if not is_action(topic)
    ]
    return (*(JOINT_STATES.at(name) for name in states), *commands)
