"""The recorder as a real ROS 2 process: every frame is in the bag, and every end leaves one."""

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
import recorder_rig
from recorder_rig import FRAMES, JOINTS, PUBLISH, RecorderClient, counts, recorder, wait_until_sent
from std_srvs.srv import SetBool

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.audit import audit
from arfm_ros.episodes.edit.recover import recover
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.durable import partial_of
from arfm_ros.nodes.ros import topics

client, start = recorder_rig.client, recorder_rig.start  # fixtures


def test_every_frame_between_start_and_stop_is_in_the_bag(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    first = client.call(topics.RECORDER_START)
    assert first.success
    again = client.call(topics.RECORDER_START)
    assert not again.success
    assert "already recording" in again.message

    publisher = start("-c", PUBLISH, str(FRAMES), "RELIABLE")
    wait_until_sent(publisher)
    assert client.call(topics.RECORDER_LABEL, SetBool.Request(data=True)).success
    stopped = client.call(topics.RECORDER_STOP)
    assert (stopped.success, stopped.message) == (True, first.message)

    found = counts(Path(first.message))
    assert found["/scene/image_raw"] == found["/wrist/image_raw"] == FRAMES
    assert found["/joint_states"] == 5 * FRAMES
    assert found["/instruction"] >= 1
    report = audit(Path(first.message))
    assert report.damage == ()
    assert report.topics["/scene/image_raw"].lost == 0
    assert report.label["success"] is True

    client.until(lambda: client.state.get("stop_ns", "0") != "0")
    for camera in ("scene", "wrist"):
        assert client.state[f"{camera}/image_raw"] == str(FRAMES)
        assert client.state[f"{camera}/image_raw.published"] == str(FRAMES)
        assert client.state[f"{camera}/image_raw.received"] == str(FRAMES)
    assert client.state["folder"] == first.message

    # The next episode begins with what was latched before it, and is not labelled by the last.
    second = client.call(topics.RECORDER_START)
    assert second.message != first.message
    client.call(topics.RECORDER_STOP)
    assert counts(Path(second.message))["/instruction"] == 1
    assert EpisodeReader(Path(second.message)).labels() == []
    known = manifest.load(Path(second.message))
    assert (known.state, known.info["instruction"]) == ("saved", "lift the cube")
    assert len(known.info["robot_sha256"]) == 64
    refused = client.call(topics.RECORDER_LABEL, SetBool.Request(data=True))
    assert "no episode" in refused.message

    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=10) == 0


def test_what_a_killed_recorder_had_answered_is_recovered(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    folder = Path(client.call(topics.RECORDER_START).message)
    publisher = start("-c", PUBLISH, str(FRAMES), "RELIABLE")
    wait_until_sent(publisher)
    assert client.call(topics.RECORDER_LABEL, SetBool.Request(data=True)).success
    node.kill()
    node.wait(timeout=10)
    with pytest.raises(EpisodeError, match="never finished"):
        EpisodeReader(folder)
    assert recover(partial_of(folder)).folder == folder
    assert counts(folder)["/scene/image_raw"] > FRAMES - 60  # a busy machine's queue is lost
    assert EpisodeReader(folder).label()["success"] is True


def test_an_episode_says_what_it_is_from_its_first_second(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path, "operator:=eve")
    folder = Path(client.call(topics.RECORDER_START).message)
    info = EpisodeReader(partial_of(folder)).info()  # answered, so on the disk
    assert (info["operator"], info["robot"]) == ("eve", "fr3")
    assert set(info["versions"]) == {"arfm_ros", "python", "platform"}

    def asked() -> bool:
        told = EpisodeReader(partial_of(folder)).info()
        return told.get("parameters:/recorder_node", {}).get("operator") == "eve"

    client.until(asked)
    assert client.call(topics.RECORDER_DISCARD).message == str(folder)
    assert manifest.load(folder).state == "discarded"
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=10) == 0


def test_what_is_lost_while_the_recorder_does_not_run_is_told_within_a_second(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    folder = Path(client.call(topics.RECORDER_START).message)
    start("-c", JOINTS)
    client.until(lambda: int(client.state.get("joint_states", "0")) > 300)
    node.send_signal(signal.SIGSTOP)
    time.sleep(1.2)  # well below the lease, and more joint states than a reader keeps
    node.send_signal(signal.SIGCONT)
    since = time.monotonic()
    client.until(lambda: "did not run" in client.message and "lost" in client.message)
    assert time.monotonic() - since < 2.0  # one of it for a machine that is busy with tests
    client.call(topics.RECORDER_STOP)
    label = EpisodeReader(folder).label()
    # how many depends on the middleware: a writer may wait for a reader that does not run
    assert label["lost"]["/joint_states"] > 0
    assert label["held_up_s"] > 1.1
    known = manifest.load(folder)
    assert known.verdict == "incomplete"
    row = known.topics["/joint_states"]
    assert row["dropped"] >= label["lost"]["/joint_states"]
    assert row["published"] == row["received"] + row["dropped"]


def test_a_stopped_recorder_closes_its_episode(
    start, client: RecorderClient, tmp_path: Path
) -> None:
    node = recorder(start, tmp_path)
    folder = Path(client.call(topics.RECORDER_START).message)
    publisher = start("-c", PUBLISH, "30", "BEST_EFFORT")  # as some camera drivers offer it
    wait_until_sent(publisher)
    client.until(lambda: client.state.get("wrist/image_raw", "0") != "0")
    node.send_signal(signal.SIGINT)
    assert node.wait(timeout=10) == 0
    reader = EpisodeReader(folder)
    assert reader.damage == []
    assert reader.label()["interrupted"] is True
    assert "interrupted episode kept" in node.stderr.read()
