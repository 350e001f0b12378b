"""Episodes cut and put together: every message stays, once, and other tools read the results."""

from pathlib import Path

import pytest
from episode_rig import MS, T0, write_some
from test_recover import check_every_tool_reads, contents

from arfm_ros.core.errors import EpisodeError
from arfm_ros.episodes.edit.parts import merge, split
from arfm_ros.episodes.edit.relabel import relabel
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.write import manifest
from arfm_ros.episodes.write.content import Making
from arfm_ros.episodes.write.metadata import OfferedQos
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire import messages


def of(folder: Path, topic: str) -> list[int]:
    return [r.log_time_ns for r in EpisodeReader(folder).records({topic})]


def numbered(folder: Path, begin_ns: int, first: int, topic: str = "/joint_states") -> Path:
    writer = EpisodeWriter(folder, {"/instruction": OfferedQos(depth=1, latched=True)})
    writer.write("/instruction", *messages.string("go"), begin_ns)
    for n in range(50):
        stamp = begin_ns + n * 20 * MS
        writer.write(topic, *messages.joint_state(stamp, ["a"], [n]), stamp, stamp, first + n)
    writer.label({"success": first > 100, "from": first}, stamp)
    return writer.close()


def test_parts_hold_every_message_once(tmp_path: Path) -> None:
    whole = write_some(tmp_path / "e", making=Making(info={"task": "lift", "operator": "eve"}))
    before = contents(whole)
    parts = split(whole, [1.0, 2.5])
    assert [part.name for part in parts] == ["e_1", "e_2", "e_3"]
    joints = [of(part, "/joint_states") for part in parts]
    assert sum(joints, []) == of(whole, "/joint_states")
    assert [times[0] for times in joints] == [T0, T0 + 1000 * MS, T0 + 2500 * MS]
    for part in parts:
        check_every_tool_reads(part, len(contents(part)))
        info = EpisodeReader(part).info()
        assert (info["operator"], info["part_of"]) == ("eve", "e")
    assert [EpisodeReader(part).label().get("success") for part in parts] == [None, None, True]
    assert contents(whole) == before


def test_a_part_begins_with_what_was_latched_before_it(tmp_path: Path) -> None:
    _, second = split(numbered(tmp_path / "e", T0, 1), [0.5])
    assert of(second, "/instruction") == [T0 + 500 * MS]


def test_what_was_said_later_counts_in_the_parts(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "e", T0, 1)
    relabel(whole, {"success": True, "discarded": True}, "eve")
    first, second = split(whole, [0.5])
    assert EpisodeReader(second).label()["success"] is True
    assert [manifest.load(part).state for part in (first, second)] == ["discarded"] * 2


def test_merged_episodes_follow_each_other_and_lost_nothing_in_between(tmp_path: Path) -> None:
    later = numbered(tmp_path / "b", T0 + 10_000 * MS, 5_000)
    early = numbered(tmp_path / "a", T0, 7)
    both = merge([later, early], tmp_path / "c")
    assert of(both, "/joint_states") == of(early, "/joint_states") + of(later, "/joint_states")
    check_every_tool_reads(both, len(contents(both)))
    row = manifest.load(both).topics["/joint_states"]
    assert (row["received"], row["dropped"]) == (100, 0)
    label = EpisodeReader(both).label()
    assert (label["success"], label["from"]) == (True, 5_000)
    assert EpisodeReader(both).info()["merged_of"] == ["a", "b"]


def test_two_recorders_at_one_time_are_merged_if_they_have_no_topic_in_common(
    tmp_path: Path,
) -> None:
    one = numbered(tmp_path / "a", T0, 1)
    two = numbered(tmp_path / "b", T0 + 100 * MS, 1, "/tool_states")
    with pytest.raises(EpisodeError, match=r"same time and both have /instruction"):
        merge([one, two], tmp_path / "c")
    writer = EpisodeWriter(tmp_path / "d")
    for n in range(50):
        stamp = T0 + n * 20 * MS
        writer.write("/tool", *messages.joint_state(stamp, ["t"], [n]), stamp, stamp, 1 + 2 * n)
    both = merge([one, writer.close()], tmp_path / "c")
    times = [r.log_time_ns for r in EpisodeReader(both).records()]
    assert times == sorted(times)
    known = manifest.load(both)
    assert known.topics["/tool"]["dropped"] == 49  # what was lost stays lost
    assert known.topics["/joint_states"]["dropped"] == 0


@pytest.mark.parametrize("at_s", [[], [-1.0], [0.0], [99.0], [0.5, 99.0]])
def test_instants_outside_of_the_episode_are_refused(tmp_path: Path, at_s: list[float]) -> None:
    whole = numbered(tmp_path / "e", T0, 1)
    with pytest.raises(EpisodeError, match=r"lasts 0.98 s: cut it at instants"):
        split(whole, at_s)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e"]


def test_nothing_is_overwritten_and_damage_is_mended_first(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "e", T0, 1)
    split(whole, [0.5])
    with pytest.raises(EpisodeError, match=r"e_1, .*e_2 exists already"):
        split(whole, [0.5])
    with pytest.raises(EpisodeError, match="at least two"):
        merge([whole], tmp_path / "x")
    bag = whole / "episode.mcap"
    bag.write_bytes(bag.read_bytes()[:-400])
    with pytest.raises(EpisodeError, match=r"is damaged .*arfm episodes recover"):
        split(whole, [0.5], tmp_path / "out")
