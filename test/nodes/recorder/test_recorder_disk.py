"""The recorder as a real ROS 2 process on a disk without room."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
import recorder_rig
from recorder_rig import FRAMES, PUBLISH, RecorderClient, recorder, wait_until_sent

from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.nodes.ros import topics

client, start = recorder_rig.client, recorder_rig.start  # fixtures


def test_a_disk_that_gets_short_of_room_ends_the_episode_well(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    recorder(start, tmp_path, "stop_free_mb:=1000000000")
    folder = Path(client.call(topics.RECORDER_START).message)
    client.until(lambda: "stop_free_mb" in client.message)
    assert client.state["recording"] == "false"
    reader = EpisodeReader(folder)
    assert reader.damage == [] and reader.label()["truncated"] is True
    refused = client.call(topics.RECORDER_STOP)
    assert "stop_free_mb" in refused.message and str(folder) in refused.message


def test_a_disk_without_room_refuses_to_start(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    recorder(start, tmp_path, "min_free_mb:=1000000000")
    answer = client.call(topics.RECORDER_START)
    assert not answer.success
    assert "min_free_mb" in answer.message
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_ends_the_episode_and_says_so(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    small_disk = f'mount -t tmpfs -o size=20m none "{tmp_path}" && exec "$@"'
    inside = ("unshare", "-rm", "bash", "-c", small_disk, "bash")
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    recorder(start, tmp_path, "min_free_mb:=1", inside=inside)
    folder = client.call(topics.RECORDER_START).message
    publisher = start("-c", PUBLISH, str(FRAMES), "RELIABLE")
    wait_until_sent(publisher)
    client.until(lambda: client.state.get("scene/image_raw.received") == str(FRAMES))
    assert "No space left" in client.message
    assert client.state["folder"] == folder
    assert 0 < int(client.state["scene/image_raw"]) < FRAMES
    assert int(client.state["dropped"]) > 0
    stopped = client.call(topics.RECORDER_STOP)
    assert not stopped.success
    assert "what was recorded until then is kept" in stopped.message
