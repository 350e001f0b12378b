"""Which topic holds what: every value at its instant, and every mistake one clear error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_bag_rig import joint_state as foreign_joint_state
from foreign_bag_rig import trajectory as foreign_trajectory

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.episodes.read.axes import read_axes
from arfm_ros.episodes.read.commands import read_commands
from arfm_ros.episodes.read.topic_map import read_topic_map
from arfm_ros.episodes.read.topics import OWN, Source, Topics, topics_of
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.windows import Wanted, read_windows
from arfm_ros.episodes.words import success_of
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.robots.files.load import load_robot
from arfm_ros.wire import messages
from arfm_ros.wire.definitions import STORE

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
UR5E, TWO = load_robot("ur5e"), load_robot("fr3_two_arms")


def state(at_ms: int, values: Mapping[str, float]) -> messages.Serialized:
    return messages.joint_state(T0 + at_ms * MS, list(values), list(values.values()))


def point(at_ms: int, values: Mapping[str, float], after_ms: int) -> messages.Serialized:
    names, to = tuple(values), np.array(list(values.values()))
    message = foreign_trajectory(T0 + at_ms * MS, names, to, after_ms / 1000)
    kind = message.__msgtype__
    return kind, bytes(STORE.serialize_cdr(message, kind))


def record(folder: Path, said: list[tuple[int, str, messages.Serialized]]) -> EpisodeReader:
    """Write messages (ms, topic, message) into an episode."""
    writer = EpisodeWriter(folder)
    for at_ms, topic, message in said:
        writer.write(topic, *message, T0 + at_ms * MS)
    return EpisodeReader(writer.close())


def test_partial_messages_on_one_topic_are_merged_by_name(tmp_path: Path) -> None:
    said = []
    for n in range(6):
        said.append((2 * n, "/joint_states", state(2 * n, {"b": n, "a": 10 + n})))
        said.append((2 * n + 1, "/joint_states", state(2 * n + 1, {"c": 20 + n})))
    said.append((20, "/joint_states", state(20, {"c": 30.0, "a": 40.0})))
    axes = read_axes(record(tmp_path / "e", said), [Source("joint_states")])
    assert list(axes["a"].value) == [*range(10, 16), 40] and list(axes["b"].value) == [*range(6)]
    assert list(axes["c"].value) == [*range(20, 26), 30]
    assert np.diff(axes["c"].stamp_ns).min() > 0


def test_of_two_topics_that_tell_of_an_axis_the_first_counts(tmp_path: Path) -> None:
    said = [(0, "/slow", state(0, {"a": 1.0})), (0, "/fast", state(0, {"a": 2.0, "b": 3.0}))]
    reader = record(tmp_path / "e", said)
    axes = read_axes(reader, [Source("/slow"), Source("/fast")])
    assert axes["a"].value[0] == 1.0 and axes["b"].value[0] == 3.0
    assert read_axes(reader, [Source("/fast"), Source("/slow")])["a"].value[0] == 2.0


def test_a_joint_state_of_velocities_alone_places_nothing(tmp_path: Path) -> None:
    kind, cdr = messages.joint_state(T0, ["a"], [], [0.5])
    reader = record(tmp_path / "e", [(0, "/joint_states", (kind, cdr))])
    assert read_axes(reader, OWN.states) == {}
    odd = messages.joint_state(T0, ["a", "b"], [1.0])
    with pytest.raises(EpisodeError, match="names 2 joints but has 1 positions"):
        read_axes(record(tmp_path / "f", [(0, "/joint_states", odd)]), OWN.states)


def test_a_new_trajectory_takes_over_from_where_the_last_one_is(tmp_path: Path) -> None:
    said = [(0, "/t", point(0, {"a": 1.0}, 100)), (50, "/t", point(50, {"a": 0.0}, 50))]
    said.insert(0, (-100, "/t", point(-100, {"a": 0.0}, 0)))
    axis = read_axes(record(tmp_path / "e", said), [Source("/t")])["a"]
    at = T0 + np.array([-100, -50, 0, 25, 50, 75, 100, 200]) * MS
    np.testing.assert_allclose(axis.at(at), [0, 0, 0, 0.25, 0.5, 0.25, 0, 0], atol=1e-9)


def test_commands_from_several_topics_share_one_time_base(tmp_path: Path) -> None:
    said = [(n, "/arm", state(n, {"a": n})) for n in range(0, 50, 10)]
    said += [(n, "/joint_states", state(n, {"g": 0.7})) for n in range(0, 50, 5)]
    said.append((25, "/hand", messages.float64_multi_array([1.0])))
    topics = Topics(commands=(Source("/arm"), Source("/hand", joints=("g",))))
    reader = record(tmp_path / "e", sorted(said, key=lambda one: one[0]))
    measured = read_axes(reader, topics.states)
    commands, stamps = read_commands(reader, ("g", "a"), measured, topics)
    assert [(s - T0) // MS for s in stamps] == [0, 10, 20, 25, 30, 40]
    # the hand stood where it was measured until it was told to move
    np.testing.assert_allclose(commands[:, 0], [0.7, 0.7, 0.7, 1, 1, 1], rtol=1e-6)
    assert list(commands[:, 1]) == [0, 10, 20, 20, 30, 40]
    with pytest.raises(EpisodeError, match="no x in the recording's commands; it has: a, g"):
        read_commands(reader, ("x",), measured, topics)
    with pytest.raises(EpisodeError, match="next_state of 'x', which is not measured.* g"):
        read_commands(reader, ("x",), measured, Topics(next_state=("x",)))


def test_values_without_names_need_all_of_them_named(tmp_path: Path) -> None:
    reader = record(tmp_path / "e", [(0, "/hand", messages.float64_multi_array([1.0, 2.0]))])
    with pytest.raises(EpisodeError, match="/hand has values without names"):
        read_axes(reader, [Source("/hand")])
    with pytest.raises(EpisodeError, match="/hand has 2 values, its joints are named as 1: g"):
        read_axes(reader, [Source("/hand", joints=("g",))])
    strings = record(tmp_path / "f", [(0, "/hand", messages.string("open"))])
    with pytest.raises(EpisodeError, match="/hand is std_msgs/msg/String, joints need one of"):
        read_axes(strings, [Source("/hand")])


def two_arms(folder: Path, namespace: str = "") -> EpisodeReader:
    """Record two arms whose joints and grippers have the topics of config/robots."""
    said = []
    for n in range(8):
        at = 50 * n
        for k, side in enumerate(("left", "right")):
            arm = {f"{side}_fr3_joint{i}": 0.1 * n + k for i in range(1, 8)}
            said.append((at, f"{namespace}/{side}/joint_states", state(at, arm)))
            opening = {"gripper_joint": 0.25 + 0.5 * k}  # both call it the same
            said.append((at, f"{namespace}/{side}/gripper/joint_states", state(at, opening)))
        command = dict(zip(TWO.names, np.arange(16) + n))
        said.append((at, f"{namespace}/arbiter/command", state(at, command)))
        pixels = np.full((8, 8, 3), n, np.uint8)
        image = messages.image(T0 + at * MS, pixels)
        said.append((at, f"{namespace}/scene/image_raw", image))
    return record(folder, said)


@pytest.mark.parametrize("namespace", ["", "/cell"])
def test_both_of_two_arms_are_read(tmp_path: Path, namespace: str) -> None:
    reader = two_arms(tmp_path / "e", namespace)
    wanted = Wanted({"scene": (8, 8)}, TWO.names, TWO.names, topics=topics_of(TWO))
    arrays = read_windows(reader, wanted)
    left, right = arrays.state[2, :7], arrays.state[2, 8:15]
    np.testing.assert_allclose(left, 0.2, rtol=1e-6)
    np.testing.assert_allclose(right, 1.2, rtol=1e-6)
    assert arrays.state[2, 7] == 0.25 and arrays.state[2, 15] == 0.75
    np.testing.assert_array_equal(arrays.commands[3], np.arange(16) + 3)


def test_a_topic_that_fits_twice_is_an_error_that_names_both(tmp_path: Path) -> None:
    said = [(0, f"/{side}/joint_states", state(0, {"a": 1.0})) for side in ("left", "right")]
    reader = record(tmp_path / "e", said)
    several = "several topics 'joint_states': /left/joint_states, /right/joint_states.*--topics"
    with pytest.raises(EpisodeError, match=several):
        reader.find("joint_states")
    assert reader.find("/left/joint_states") == "/left/joint_states"
    assert reader.find("/middle/joint_states") is None
    both = [(0, f"/{side}/arbiter/command", state(0, {"a": 1.0})) for side in ("left", "right")]
    with pytest.raises(EpisodeError, match="several topics 'arbiter/command'"):
        record(tmp_path / "f", said + both).find("arbiter/command")


def test_a_longer_name_never_stands_in_for_a_shorter_one(tmp_path: Path) -> None:
    said = [(0, "/gripper/joint_states", state(0, {"g": 1.0}))]
    said.append((0, "/arbiter/command", state(0, {"g": 1.0})))
    assert record(tmp_path / "e", said).find("joint_states") is None


def test_an_arm_without_a_gripper_is_read_by_its_groups(tmp_path: Path) -> None:
    topics = read_topic_map("groups: [arm]\nstates: [/joint_states]\nnext_state: [arm]", UR5E)
    assert topics.groups == ("arm",) and topics.next_state == UR5E.group("arm").names
    arm = dict.fromkeys(UR5E.group("arm").names, 0.5)
    reader = record(tmp_path / "e", [(n, "/joint_states", state(n, arm)) for n in range(4)])
    measured = read_axes(reader, topics.states)
    commands, stamps = read_commands(reader, tuple(arm), measured, topics)
    assert commands.shape == (4, 6) and len(stamps) == 4


def test_another_name_and_another_range_of_the_gripper() -> None:
    entry = "{topic: /hand, joints: [finger], names: {finger: gripper}}"
    (source,) = read_topic_map(f"commands: [{entry}]", UR5E).commands
    call = next(call for call in source.calls if call.said == "finger")
    assert (call.axis, call.scale, call.offset) == ("gripper", -1.25, 1.0)  # as published
    entry = entry.replace("}}", "}, scale: 0.01, offset: 0.0}")
    (source,) = read_topic_map(f"commands: [{entry}]", UR5E).commands
    call = next(call for call in source.calls if call.said == "finger")
    assert (call.scale, call.offset) == (0.01, 0.0)


@pytest.mark.parametrize("said", [True, False])
def test_success_is_the_label_then_the_topic_then_the_map(tmp_path: Path, said: bool) -> None:
    reader = record(tmp_path / "e", [(0, "/ok", messages.boolean(said))])
    word = record(tmp_path / "f", [(0, "/ok", messages.string(str(said)))])
    topics = Topics(success_topic="/ok", success=not said)
    assert success_of(reader, {}, topics) is success_of(word, {}, topics) is said
    assert success_of(reader, {"success": not said}, topics) is (not said)
    assert success_of(reader, {}, Topics(success=said)) is said
    assert success_of(reader, {}, Topics()) is None
    other = record(tmp_path / "g", [(0, "/ok", messages.string("perhaps"))])
    with pytest.raises(EpisodeError, match="ends with 'perhaps', needs a Bool or a String of"):
        success_of(other, {}, topics)


def test_received_times_replace_the_headers_where_the_clocks_differ(tmp_path: Path) -> None:
    early = messages.joint_state(5 * MS, ["a"], [1.0])  # a simulator's clock
    reader = record(tmp_path / "e", [(0, "/joint_states", early)])
    assert read_axes(reader, OWN.states)["a"].stamp_ns[0] == 5 * MS
    assert read_axes(reader, OWN.states, received=True)["a"].stamp_ns[0] == T0


def test_two_clocks_are_told_with_the_way_out(tmp_path: Path) -> None:
    said = [(n, "/joint_states", messages.joint_state(n * MS, ["a"], [n])) for n in range(90)]
    pixels = np.zeros((8, 8, 3), np.uint8)
    said += [(n, "/eye/image_raw", messages.image(n * MS, pixels)) for n in range(10, 90, 10)]
    said += [(n, "/hand", messages.float64_multi_array([n])) for n in range(0, 90, 5)]
    reader = record(tmp_path / "e", sorted(said, key=lambda one: one[0]))
    topics = Topics(commands=(Source("/hand", joints=("a",)),))
    wanted = Wanted({"eye": (8, 8)}, ("a",), ("a",), topics=topics)
    with pytest.raises(EpisodeError, match="apart, as of two clocks.*times: received"):
        read_windows(reader, wanted)
    arrays = read_windows(reader, replace(wanted, topics=replace(topics, received=True)))
    assert list(arrays.state[:, 0]) == [*range(10, 90, 10)]


def test_big_endian_messages_say_the_same(tmp_path: Path) -> None:
    message = foreign_joint_state(T0, ("a", "b"), [1.5, -2.5])
    kind = message.__msgtype__
    cdr = bytes(STORE.serialize_cdr(message, kind, little_endian=False))
    reader = record(tmp_path / "e", [(0, "/joint_states", (kind, cdr))])
    axes = read_axes(reader, OWN.states)
    assert axes["a"].value[0] == 1.5 and axes["b"].value[0] == -2.5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("state: [/joint_states]", "has 'state', known keys: states, commands"),
        ("states: /joint_states", "states is '/joint_states', needs a list"),
        ("states: [{group: arm}]", r"states\[0\] names no topic"),
        ("states: [{topic: /a, group: leg}]", "no group 'leg', it has: arm, gripper"),
        ("states: [{topic: /a, joint: [b]}]", "has 'joint', known keys: topic, group, joints"),
        ("commands: [{topic: /a, names: {f: hand}}]", "names has 'hand', known axes: shoulder"),
        ("commands: [{topic: /a, scale: big}]", "scale is 'big', needs a number"),
        ("next_state: [hand]", "next_state has 'hand', robot 'ur5e' has: arm, gripper, shoulder"),
        ("groups: [leg]", "no group 'leg'"),
        ("cameras: [/a]", "cameras is .*needs a map"),
        ("times: wall", "times is 'wall', needs one of header, received"),
        ("success: yes please", "success is 'yes please', needs true or false"),
        ("states: [", "no YAML"),
        ("- a", "needs a map"),
    ],
)
def test_a_mistake_in_a_topic_map_is_one_clear_error(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_topic_map(text, UR5E)


def test_the_map_of_the_documentation_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "episodes.md").read_text()
    text = page.split("```yaml")[1].split("```")[0]
    topics = read_topic_map(text, UR5E)
    assert len(topics.states) == 2 and len(topics.commands) == 3
    assert topics.next_state == ("gripper",) and topics.instruction == "press the button"


def test_a_simulators_recording_is_read_by_the_axes_own_names(tmp_path: Path) -> None:
    arm = dict.fromkeys(UR5E.group("arm").names, 0.5)
    said = [(0, "/joint_states", state(0, arm)), (0, "/arbiter/command", state(0, arm))]
    said.append((0, "/gripper/joint_states", state(0, {"gripper": 0.25})))
    measured = read_axes(record(tmp_path / "e", said), topics_of(UR5E).states)
    assert tuple(measured) == UR5E.names and measured["gripper"].value[0] == 0.25
    knuckle = {**arm, "robotiq_85_left_knuckle_joint": 0.4}
    said[0] = (0, "/joint_states", state(0, knuckle))  # the driver's word comes first
    measured = read_axes(record(tmp_path / "f", said), topics_of(UR5E).states)
    assert measured["gripper"].value[0] == pytest.approx(0.5)
