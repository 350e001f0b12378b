"""What a kill left is mended: every whole message, readable by every tool, nothing overwritten."""

import json
import subprocess
from pathlib import Path

import pytest
from episode_rig import MS, T0, write_some
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader
from test_episode_damage import run_writer

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.edit.recover import finish_interrupted, recover
from arfm_ros.episodes.edit.relabel import relabel
from arfm_ros.episodes.folders import is_learned, unfinished_episodes
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.learn.data.frames import find_episodes
from arfm_ros.wire import messages


def contents(folder: Path) -> list[tuple[str, bytes, int, int, int]]:
    return [
        (r.topic, bytes(r.cdr), r.log_time_ns, r.publish_time_ns, r.sequence)
        for r in EpisodeReader(folder).records()
    ]


def left_by_a_kill(folder: Path) -> Path:
    """Give what a recorder leaves that dies: as far as it was synced, without an end."""
    writer = EpisodeWriter(folder, {"/instruction": OfferedQos(depth=1, latched=True)})
    writer.write("/instruction", *messages.string("go"), T0)
    for n in range(100):
        stamp = T0 + n * 20 * MS
        writer.write(
            "/joint_states", *messages.joint_state(stamp, ["a"], [n]), stamp, stamp, n + 1
        )
        if n % 30 == 29:
            writer.label({"n": n}, stamp)
    writer._release()  # its last chunk is not in the file
    return writer.work


def check_every_tool_reads(folder: Path, count: int) -> None:
    with open(folder / "episode.mcap", "rb") as file:
        reader = make_reader(file)
        assert sum(1 for _ in reader.iter_messages()) == count
        assert reader.get_summary().statistics.message_count == count
    with Reader(folder) as bag:
        assert bag.message_count == count
        assert sum(1 for _ in bag.messages()) == count


def test_a_recovered_episode_holds_all_whole_messages_and_is_a_bag(tmp_path: Path) -> None:
    partial = left_by_a_kill(tmp_path / "e")
    before, raw = contents(partial), (partial / "episode.mcap").read_bytes()
    assert unfinished_episodes(tmp_path) == [partial]
    found = recover(partial)
    assert found.folder == tmp_path / "e"
    assert contents(found.folder)[:-1] == before
    assert len(before) == 1 + 90 + 3
    check_every_tool_reads(found.folder, len(before) + 1)
    with Reader(found.folder) as bag:
        (latched,) = [c for c in bag.connections if c.topic == "/instruction"]
        assert latched.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
    known = manifest.load(found.folder)
    assert (known.state, known.verdict) == ("recovered", "incomplete")
    assert "cut off" in known.lost[0]
    assert known.label["n"] == 89
    assert known.topics["/joint_states"]["received"] == 90
    assert (tmp_path / "e.original" / "episode.mcap").read_bytes() == raw
    assert EpisodeReader(found.folder).damage == []
    assert find_episodes([tmp_path]) == [found.folder]
    assert unfinished_episodes(tmp_path) == []


def test_what_is_being_recorded_is_left_alone(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    writer.label({"task": "lift"}, T0)
    assert unfinished_episodes(tmp_path) == []
    with pytest.raises(EpisodeError, match="being recorded"):
        recover(writer.work)
    assert writer.close() == tmp_path / "e"
    with pytest.raises(EpisodeError, match="nothing to mend"):
        recover(tmp_path / "e")


def test_nothing_is_overwritten_by_a_recovery(tmp_path: Path) -> None:
    partial = left_by_a_kill(tmp_path / "e")
    (tmp_path / "e").mkdir()
    with pytest.raises(EpisodeError, match="exists already and is not overwritten"):
        recover(partial)
    (tmp_path / "e").rmdir()
    (tmp_path / "e.original").mkdir()
    with pytest.raises(EpisodeError, match="in the way"):
        recover(partial)
    assert partial.is_dir()


def test_a_recovery_that_was_killed_is_begun_anew_or_finished(tmp_path: Path) -> None:
    partial = left_by_a_kill(tmp_path / "e")
    left_by_a_kill(tmp_path / "e.recovering" / "e")
    found = recover(partial)
    assert not (tmp_path / "e.recovering").exists()
    found.original.rename(partial)  # killed before the last rename
    assert recover(partial).folder == found.folder
    assert found.original.is_dir()
    (tmp_path / "e.recovering").mkdir()
    found.folder.rename(tmp_path / "e.recovering" / "e")
    assert finish_interrupted(tmp_path) == [found.folder]
    assert found.folder.is_dir()


def test_a_damaged_episode_is_mended_and_the_damage_told(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "e")
    data = bytearray((folder / "episode.mcap").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "episode.mcap").write_bytes(data)
    found = recover(folder)
    assert 0 < found.messages < 401
    assert any("damaged" in line for line in found.lost)
    check_every_tool_reads(found.folder, found.messages)
    assert EpisodeReader(found.folder).label()["damage"] == list(found.lost)


def test_a_bag_whose_disk_was_full_is_read_by_every_tool_once_recovered(tmp_path: Path) -> None:
    done = run_writer(tmp_path / "e", -1, prefix="ulimit -f 3000;")
    assert done.returncode == 7, done.stderr
    count = len(contents(tmp_path / "e"))
    assert manifest.load(tmp_path / "e").verdict == "incomplete"
    recover(tmp_path / "e")
    check_every_tool_reads(tmp_path / "e", count + 1)


def test_the_manifest_tells_the_hash_the_numbers_and_the_verdict(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "e")
    for n in (0, 1, 2, 5, 6, 7):
        stamp = T0 + n * 33 * MS
        text = messages.joint_state(stamp - 2 * MS, ["a"], [n])
        writer.write("/joint_states", *text, stamp, sequence=n + 1)
    writer.label({"success": True}, T0)
    folder = writer.close()
    known = manifest.load(folder)
    said = subprocess.run(["sha256sum", folder / "episode.mcap"], capture_output=True, text=True)
    assert known.sha256 == said.stdout.split()[0]
    assert known.bytes == (folder / "episode.mcap").stat().st_size
    row = known.topics["/joint_states"]
    assert (row["published"], row["received"], row["dropped"]) == (8, 6, 2)
    assert row["gap_max_s"] == pytest.approx(0.099)
    assert row["stamp_lag_s"] == {"p50": 0.002, "max": 0.002}
    assert (known.state, known.verdict) == ("saved", "incomplete")
    assert known.reasons == ("/joint_states: 2 of 8 messages are missing",)
    assert known.label == {"success": True}


def test_a_label_that_is_given_later_counts_and_history_is_kept(tmp_path: Path) -> None:
    folder = write_some(tmp_path / "e", 10)
    assert relabel(folder, {"success": False}, "eve")["success"] is False
    relabel(folder, {"discarded": True}, "eve")
    assert EpisodeReader(folder).label() == {"task": "lift", "success": False, "discarded": True}
    assert EpisodeReader(folder).labels()[0] == {"task": "lift", "success": True}
    assert manifest.load(folder).state == "discarded"
    assert not is_learned(folder)
    relabel(folder, {"discarded": False}, "eve")
    assert manifest.load(folder).state == "saved"
    lines = (folder / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line)["who"] for line in lines] == ["eve"] * 3
