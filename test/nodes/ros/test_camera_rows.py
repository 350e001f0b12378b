"""Topics of cameras: the robot's own names, live and in what is recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.nodes.policy.params import PolicyParams  # noqa: E402
from arfm_ros.nodes.recorder.params import RecorderParams, chosen  # noqa: E402
from arfm_ros.nodes.ros.robot_topics import CameraRows, camera_rows  # noqa: E402
from arfm_ros.nodes.sim.params import cameras_of  # noqa: E402
from arfm_ros.robots.files.load import load_robot, robot_names  # noqa: E402
from arfm_ros.sim.world import World  # noqa: E402

GEN3 = load_robot("gen3")


@pytest.mark.parametrize("name", robot_names())
def test_the_recorder_the_policy_and_the_simulation_mean_the_same_topics(name: str) -> None:
    robot = load_robot(name)
    shown = cameras_of(("scene", "wrist"), World(robot))
    seen = PolicyParams(robot=name).camera_topics(robot)
    kept, unknown = chosen(RecorderParams(robot=name, images="both"))
    names = {row.name for row in kept}
    assert not unknown and shown
    for camera, topic in shown.items():
        assert seen[camera].name == topic
        beside = topic.rpartition("/")[0] + "/camera_info"
        assert {topic, f"{topic}/compressed", beside} <= names


def test_a_camera_lies_where_its_driver_has_it() -> None:
    rows = camera_rows(GEN3)["wrist"]
    assert rows.raw.name == "camera/color/image_raw"
    assert rows.compressed.name == "camera/color/image_raw/compressed"
    assert rows.info.name == "camera/color/camera_info"
    assert camera_rows(GEN3, ("top=a/b/compressed",))["top"].raw.name == "a/b"
    assert CameraRows.of("hand").raw.name == "hand/image_raw"
    assert not camera_rows(GEN3, ("",))


def test_pictures_that_are_named_compressed_are_read_so_whatever_the_transport() -> None:
    params = PolicyParams(cameras=("top=top/image_raw/compressed", "side"))
    found = params.camera_topics(GEN3)
    assert found["top"].type_name.endswith("CompressedImage")
    assert found["side"].type_name.endswith("/Image")
    jpegs = replace(params, transport="compressed").camera_topics(GEN3)
    assert [row.name for row in jpegs.values()] == [
        "top/image_raw/compressed",
        "side/image_raw/compressed",
    ]


@pytest.mark.parametrize("entry", ["=a", "a=", "wrist"])
def test_an_entry_that_says_nothing_or_says_it_twice_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match="needs different entries"):
        camera_rows(GEN3, ("wrist", entry))
