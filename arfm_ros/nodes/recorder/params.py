"""What a recorder is told, and which topics follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.params import knob
from arfm_ros.nodes.ros.robot_topics import CameraRows, camera_rows, rows
from arfm_ros.nodes.ros.topics import NEWEST, Topic
from arfm_ros.robots.files.load import load_robot

ALWAYS = (
    topics.JOINT_STATES,
    topics.GRIPPER_STATES,
    topics.CURRENT_POSE,
    topics.TARGET_JOINT,
    topics.TARGET_POSE,
    topics.GRIPPER_COMMAND,
    topics.TASK_STATE,
    topics.INSTRUCTION,
    topics.ACTION_CHUNK,
    topics.CHUNK_INFO,
    topics.CHUNK_RESULT,
    topics.TELEOP_TARGET,
    topics.TELEOP_ENGAGED,
    topics.ESTOP,
    topics.AUTHORITY,
    topics.ARBITER_COMMAND,
    topics.ROBOT_DESCRIPTION,
    topics.ARBITER_REQUEST,
    topics.ARBITER_ANSWER,
    topics.OWNERS,
    topics.DISAGREEMENT,
    topics.QUESTION,
    topics.ANSWER,
    topics.EPISODE_LABEL,
    topics.DIAGNOSTICS,
)
IMAGES: Mapping[str, tuple[str, ...]] = {  # of a camera's topics
    "raw": ("raw",),
    "compressed": ("compressed",),
    "both": ("raw", "compressed"),
}


@dataclass(frozen=True)
class RecorderParams:
    """What to record, where, and how much may wait for the disk."""

    out: str = knob("episodes", "folder that gets one folder per episode")
    operator: str = knob("", "who is in charge; written into every episode")
    robot: str = knob("fr3", "whose topics to record: a name in config/robots, or a YAML")
    cameras: tuple[str, ...] = knob(
        (), "cameras to record, as name or name=topic, empty: the robot's"
    )
    images: str = knob("compressed", "which images of them", choices=tuple(IMAGES))
    topics: tuple[str, ...] = knob((), "topics to record instead of the default set")
    extra_topics: tuple[str, ...] = knob((), "topics to record beside the default set")
    buffer_mb: int = knob(128, "most that may wait for the disk; beyond it is counted", 1, 16384)
    min_free_mb: int = knob(2000, "refuse to start an episode with less room on the disk", 0)
    stop_free_mb: int = knob(1000, "stop a running episode with less room on the disk", 0)
    period_ms: int = knob(20, "how often to fetch what the middleware received", 1, 200)


def chosen(params: RecorderParams) -> tuple[list[Topic], list[str]]:
    """Give the topics to record and the names whose type only the graph can tell."""
    known = {row.name: row for row in vars(topics).values() if isinstance(row, Topic)}
    cameras = cameras_of(params).values()
    known |= {row.name: row for one in cameras for row in (one.raw, one.compressed, one.info)}
    own = {row.name: row for row in rows(load_robot(params.robot))}
    known = own | known
    names = list(dict.fromkeys([*(row.name for row in ALWAYS), *own]))
    for one in cameras:
        names += [getattr(one, kind).name for kind in (*IMAGES[params.images], "info")]
    names = [*(params.topics or names), *params.extra_topics]
    return [known[n] for n in names if n in known], [n for n in names if n not in known]


def cameras_of(params: RecorderParams) -> dict[str, CameraRows]:
    """Return the topics of the cameras to record."""
    return camera_rows(load_robot(params.robot), params.cameras)


def is_sensor(row: Topic) -> bool:
    """Tell whether a topic is one that comes all the time, so that a pause is a fault."""
    return row.reader == NEWEST and row != topics.ARBITER_COMMAND
