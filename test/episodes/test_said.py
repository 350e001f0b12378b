"""Episodes that name their robot are read under its axes' own names, whatever messages say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arfm_ros.episodes.read.axes import read_axes, tools_in
from arfm_ros.episodes.read.said import said_of, topics_in
from arfm_ros.episodes.read.topics import OWN, Source, topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import cameras_of, image_topic
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.learn.data.recorded import embodiment_of, look_at
from arfm_ros.robots.files.load import load_robot, robot_names
from arfm_ros.wire import messages

S = 1_000_000_000


def written(folder: Path, name: str, info: dict[str, object]) -> EpisodeReader:
    """Write a second of a robot as its driver publishes it, and a joint of nobody's."""
    robot = load_robot(name)
    writer = EpisodeWriter(folder)
    writer.tell(info, S)
    for k in range(50):
        stamp = S + k * S // 50
        for topic in dict.fromkeys(t for g in robot.groups for t in g.state_topics):
            axes = [a for g in robot.groups if topic in g.state_topics for a in g.axes]
            said = [a.message_name for a in axes] + [f"lid_of_{topic[:3]}"]
            values = [(0.5 - a.offset) / a.scale for a in axes] + [9.0]
            type_name, cdr = messages.joint_state(stamp, said, np.array(values))
            writer.write(f"/{topic}", type_name, cdr, stamp)
        command = messages.joint_state(stamp, robot.names, np.full(len(robot.names), 0.5))
        writer.write("/arbiter/command", *command, stamp)
        for camera in robot.cameras:
            picture = messages.compressed_image(stamp, b"\xff\xd8", camera.name)
            raw = camera.topic.removesuffix("/compressed")
            writer.write(f"/{raw}/compressed", *picture, stamp)
    writer.close()
    return EpisodeReader(folder)


@pytest.mark.parametrize("how", ["told", "named"])
@pytest.mark.parametrize("name", robot_names())
def test_axes_cameras_and_tools_are_the_robots_without_a_map(
    tmp_path: Path, name: str, how: str
) -> None:
    robot = load_robot(name)
    info = {"robot": name} if how == "named" else {"robot": "/gone.yaml", **said_of(robot)}
    reader = written(tmp_path / "one", name, info)
    found = read_axes(reader, OWN.states)
    assert set(robot.names) <= set(found)
    assert all(np.allclose(found[axis].value, 0.5) for axis in robot.names)
    assert any(one.startswith("lid_of_") for one in found)  # nothing is lost
    assert not any(a.message_name in found for a in robot.axes if a.message_name != a.name)
    assert set(cameras_of(reader)) >= {camera.name for camera in robot.cameras}
    for camera in robot.cameras:
        assert camera.topic.removesuffix("/compressed") in image_topic(reader, camera.name)
    assert topics_in(reader, topics_of(robot)) == topics_of(robot)  # a map that is given counts
    if how == "named":
        opens = {axis.name for axis in robot.axes if axis.unit == "1"}
        assert set(tools_in(reader)) == opens
        learned = embodiment_of(look_at([tmp_path]), {})
        assert learned.state_names == learned.action_names == robot.names
        assert {axis.name for axis in learned.state if axis.unit == "1"} == opens


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"robot": "of somebody else"},
        {"robot": 7},
        {"state_topics": "joint_states", "camera_topics": {}},
        {"state_topics": [{"topic": 3, "calls": []}], "camera_topics": {}},
        {"state_topics": [], "camera_topics": []},
    ],
)
def test_an_episode_that_says_nothing_of_use_is_read_as_before(
    tmp_path: Path, info: dict[str, object]
) -> None:
    reader = written(tmp_path / "one", "fr3", info)
    found = read_axes(reader, OWN.states)
    assert "gripper_joint" in found and "gripper" not in found
    assert set(read_axes(reader, [Source("joint_states")])) >= set(load_robot("fr3").names[:7])
