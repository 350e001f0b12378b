"""Episodes: what was written is read, by us, by rosbag2 readers and by ROS."""

import dataclasses
import json
import os
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from episode_rig import MS, PIXELS, SAMPLES, T0, write_some
from rosbags.rosbag2 import Reader

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes import labels
from arfm_ros.episodes.audit import audit
from arfm_ros.episodes.folders import episode_folder, newest_episode
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write.ledger import Span
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages
from arfm_ros.wire.definitions import STORE, definition


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    type_name, cdr = SAMPLES[name]
    writer = EpisodeWriter(tmp_path / "e")
    writer.write("/topic", type_name, cdr, T0 + 5, T0 + 3, 9)
    writer.close()
    (record,) = EpisodeReader(tmp_path / "e").records({"/topic"})
    assert (record.type_name, bytes(record.cdr)) == (type_name, cdr)
    assert (record.log_time_ns, record.publish_time_ns, record.sequence) == (T0 + 5, T0 + 3, 9)
    ((stamp, message),) = EpisodeReader(tmp_path / "e").messages("/topic")
    assert bytes(STORE.serialize_cdr(message, type_name)) == cdr
    assert stamp == (T0 if hasattr(message, "header") else T0 + 3)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "e")
    before = (folder / "episode.mcap").read_bytes()
    with pytest.raises(EpisodeError, match="exists already"):
        EpisodeWriter(folder)
    assert (folder / "episode.mcap").read_bytes() == before


def test_a_rosbag2_reader_opens_an_episode(tmp_path: Path) -> None:
    qos = {"/instruction": OfferedQos(depth=1, latched=True)}
    writer = EpisodeWriter(tmp_path / "e", qos)
    writer.write("/instruction", *messages.string("go"), T0)
    writer.write("/joint_states", *messages.joint_state(T0 + 5, ["a"], [1.0]), T0 + 5)
    writer.close()
    with Reader(tmp_path / "e") as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        assert counts == {"/instruction": 1, "/joint_states": 1, "/episode/label": 0}
        assert reader.message_count == 2
        assert len(list(reader.messages())) == 2
        (latched,) = [c for c in reader.connections if c.topic == "/instruction"]
        assert latched.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"


def test_the_metadata_has_the_keys_of_rosbag2_version_9(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "e")
    (about,) = yaml.safe_load((folder / "metadata.yaml").read_text()).values()
    assert set(about) == {
        "version", "storage_identifier", "duration", "starting_time", "message_count",
        "topics_with_message_count", "compression_format", "compression_mode",
        "relative_file_paths", "files", "custom_data", "ros_distro",
    }  # fmt: skip
    assert (about["version"], about["storage_identifier"]) == (9, "mcap")
    assert about["starting_time"]["nanoseconds_since_epoch"] == T0
    topic = about["topics_with_message_count"][1]["topic_metadata"]
    assert set(topic) == {
        "name", "type", "serialization_format", "offered_qos_profiles", "type_description_hash",
    }  # fmt: skip
    assert topic["type_description_hash"].startswith("RIHS01_")


def test_a_label_is_on_the_disk_at_once_and_later_ones_win(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    writer.label({"task": "lift", "success": False}, T0)
    assert EpisodeReader(writer.work).label() == {"task": "lift", "success": False}
    writer.label({"success": True}, T0 + 1)
    assert EpisodeReader(writer.work).label() == {"task": "lift", "success": True}
    with pytest.raises(EpisodeError, match="still being recorded"):
        EpisodeReader(tmp_path / "e")
    writer.close()
    assert EpisodeReader(tmp_path / "e").label() == {"task": "lift", "success": True}


def test_an_unknown_type_is_named_with_the_way_out(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    with pytest.raises(EpisodeError, match="nobody_msgs/msg/Nothing.*AMENT_PREFIX_PATH"):
        writer.write("/x", "nobody_msgs/msg/Nothing", b"", T0)
    writer.write("/y", *messages.string("still works"), T0)
    writer.close()


def test_one_topic_has_one_type(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    writer.write("/x", *messages.string("a"), T0)
    with pytest.raises(EpisodeError, match="std_msgs/msg/String"):
        writer.write("/x", *messages.boolean(True), T0)


def test_types_of_installed_packages_are_found_with_what_they_contain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "share" / "gadget_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Gadget.msg").write_text("std_msgs/Header header\nPart[] parts\n")
    (folder / "Part.msg").write_text("string name\nfloat64[3] size\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    text = definition("gadget_msgs/msg/Gadget").text
    assert "MSG: gadget_msgs/Part" in text
    assert "MSG: std_msgs/Header" in text


def plain(value: object) -> object:
    """Turn a message of ROS or of rosbags into dictionaries, lists and numbers."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if dataclasses.is_dataclass(value):
        named = (f.name for f in dataclasses.fields(value) if f.name != "__msgtype__")
        names = [name for name in named if not name.isupper()]  # without constants
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, bytes) and len(value) == 1:  # how rclpy gives a `byte`
        return value[0]
    if isinstance(value, (str, int, float, np.generic)):
        return value.item() if isinstance(value, np.generic) else value
    return [plain(one) for one in value]


def test_ros_reads_our_messages_and_knows_our_hashes() -> None:
    serialization = pytest.importorskip("rclpy.serialization")
    from arfm_ros.nodes.ros.topics import interface

    for type_name, cdr in SAMPLES.values():
        cls = interface(type_name)
        message = serialization.deserialize_message(cdr, cls)
        assert plain(message) == plain(STORE.deserialize_cdr(cdr, type_name))
        package, _, name = type_name.split("/")
        told = Path(sys.prefix) / "share" / package / "msg" / f"{name}.json"
        if told.is_file():
            rows = json.loads(told.read_text())["type_hashes"]
            hashes = {row["type_name"]: row["hash_string"] for row in rows}
            assert hashes[type_name] == definition(type_name).rihs01


def test_text_that_is_no_json_is_still_a_label() -> None:
    assert labels.parse_label("gripper slipped") == {"note": "gripper slipped"}
    assert labels.parse_label("3") == {"note": "3"}
    assert labels.success({"success": "yes"}) is None


def test_published_is_received_plus_lost_and_a_new_publisher_loses_nothing() -> None:
    span = Span()
    for sequence in (4, 5, 8, 9, 1, 2):
        span.add(sequence, 0)
    assert (span.count, span.lost, span.published) == (6, 2, 8)


def test_the_audit_finds_gaps_by_number_and_by_stamp(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    for n in (0, 1, 2, 5, 6, 7):
        stamp = T0 + n * 33 * MS
        writer.write("/a/image_raw", *messages.image(stamp, PIXELS), stamp, sequence=n + 1)
        writer.write("/b/image_raw", *messages.image(stamp, PIXELS), stamp)
    writer.close()
    report = audit(tmp_path / "e")
    assert (report.topics["/a/image_raw"].lost, report.topics["/b/image_raw"].lost) == (2, 2)
    assert report.topics["/a/image_raw"].gap_max_s == pytest.approx(0.099)
    assert report.lost == 4


def test_folders_are_named_by_time_task_and_number(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5)
    folder = episode_folder(tmp_path, "push it/now", 7, when)
    assert folder.name == "20260102_030405_push-it-now_0007"
    folder.mkdir()
    assert episode_folder(tmp_path, "push it/now", 7, when).name.endswith("_0008")


def test_the_newest_episode_of_a_folder_is_taken(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no episode in"):
        newest_episode(tmp_path)
    old, new = write_some(tmp_path / "b", 1), write_some(tmp_path / "a", 1)
    os.utime(old / "episode.mcap", (1, 1))
    assert newest_episode(tmp_path) == new
    assert newest_episode(old) == old
