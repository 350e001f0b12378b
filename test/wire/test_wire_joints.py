"""Joint values, trajectories and poses: the bytes say what ROS says."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray, MultiArrayDimension, MultiArrayLayout
from trajectory_msgs.msg import JointTrajectory

from arfm_ros.core.errors import EpisodeError, SpecError
from arfm_ros.nodes.ros.convert import joint_map, trajectory_to_chunk
from arfm_ros.wire import messages
from arfm_ros.wire.cdr import header_stamp_ns
from arfm_ros.wire.errors import WireError
from arfm_ros.wire.joints import (
    FLOAT64,
    FLOAT64_ARRAY,
    JointStateReader,
    read_joint_state,
    read_pose,
    read_trajectory,
    read_values,
)

STAMP_NS = 1_700_000_000_123_456_789
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "base_link"])
@pytest.mark.parametrize("names", [(), ("a",), ("shoulder", "elbow", "w")])
def test_a_joint_state_read_from_bytes_is_what_a_node_is_told(
    names: tuple[str, ...], frame_id: str
) -> None:
    values = RNG.normal(size=len(names))
    _, cdr = messages.joint_state(STAMP_NS, names, values, 2 * values, frame_id=frame_id)
    told = joint_map([deserialize_message(cdr, JointState)])
    assert read_joint_state(cdr) == told == dict(zip(names, values))
    assert header_stamp_ns(cdr) == STAMP_NS


def test_a_joint_state_without_positions_tells_of_none_and_a_short_one_is_refused() -> None:
    for positions, names in (([], ["a", "b"]), ([1.0], ["a"])):
        message = JointState(name=names, position=positions, velocity=[0.0] * len(names))
        assert read_joint_state(serialize_message(message)) == joint_map([message])
    short = JointState(name=["a", "b"], position=[1.0])
    for refused in (
        lambda: read_joint_state(serialize_message(short)),
        lambda: joint_map([short]),
    ):
        with pytest.raises(SpecError, match="names 2 joints but has 1 positions"):
            refused()


def test_a_trajectory_read_from_bytes_is_what_a_node_is_told() -> None:
    positions = RNG.normal(size=(5, 3)).astype(np.float32)
    _, cdr = messages.trajectory(STAMP_NS, ("a", "b", "c"), positions, 50_000_000)
    chunk = trajectory_to_chunk(deserialize_message(cdr, JointTrajectory))
    read = read_trajectory(cdr)
    assert read.names == chunk.names
    np.testing.assert_array_equal(read.positions, chunk.actions)
    np.testing.assert_array_equal(read.due_ns, 50_000_000 * np.arange(1, 6))


def test_values_are_read_behind_whatever_layout() -> None:
    dim = [MultiArrayDimension(label="joints", size=3, stride=3)]
    for layout, expected in (
        (MultiArrayLayout(), [1.0, 2.0, 3.0]),
        (MultiArrayLayout(dim=dim), [1.0, 2.0, 3.0]),
        (MultiArrayLayout(dim=dim, data_offset=1), [2.0, 3.0]),
    ):
        cdr = serialize_message(Float64MultiArray(layout=layout, data=[1.0, 2.0, 3.0]))
        assert read_values(cdr, FLOAT64_ARRAY).tolist() == expected
    assert read_values(serialize_message(Float64(data=0.25)), FLOAT64).tolist() == [0.25]


def test_a_pose_is_read_as_it_was_written_and_as_ros_reads_it() -> None:
    values = RNG.normal(size=7)
    _, cdr = messages.pose_stamped(STAMP_NS, values, "base")
    np.testing.assert_array_equal(read_pose(cdr), values)
    pose = deserialize_message(cdr, PoseStamped).pose
    assert (pose.position.z, pose.orientation.w) == (values[2], values[6])


def test_bytes_cut_anywhere_are_refused_to_a_node_and_to_a_reader_alike() -> None:
    _, cdr = messages.joint_state(STAMP_NS, ("a", "b"), (1.0, 2.0))
    for length in range(len(cdr) - 8):  # behind the positions come two empty lists
        with pytest.raises(WireError) as caught:
            read_joint_state(cdr[:length])
        assert isinstance(caught.value, SpecError) and isinstance(caught.value, EpisodeError)


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "base_link"])
def test_a_reader_that_knows_its_senders_says_what_ros_says(frame_id: str) -> None:
    reader, rng = JointStateReader(), np.random.default_rng(1)
    namings = [("a", "bc", "def"), ("bc", "a", "def"), ("a",), (), ("a", "bc", "def", "g"), ("x",)]
    for n in range(60):
        names = namings[rng.integers(len(namings))]
        values = rng.normal(size=len(names) if rng.random() < 0.8 else 0)
        message = JointState(name=list(names), position=values.tolist())
        message.effort = rng.normal(size=int(rng.integers(0, 4))).tolist()
        message.header.frame_id = frame_id
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(STAMP_NS + n, 10**9)
        cdr = bytearray(serialize_message(message))
        told = reader.read(bytes(cdr))
        assert dict(zip(told.names, told.values.tolist())) == joint_map([message])
        assert (told.names, told.stamp_ns) == (names, STAMP_NS + n)


def test_what_lies_between_two_fields_is_no_other_sender() -> None:
    _, cdr = messages.joint_state(STAMP_NS, ("a", "b"), (1.0, 2.0), frame_id="ab")
    at = cdr.index(b"ab\0") + 3  # a byte of padding
    reader = JointStateReader()
    for n in range(8):
        other = cdr[:at] + bytes([n]) + cdr[at + 1 :]
        assert reader.read(other).values.tolist() == [1.0, 2.0]
    assert len(reader._known) == 1


def test_a_reader_refuses_what_is_cut_short_also_of_a_sender_that_it_knows() -> None:
    _, cdr = messages.joint_state(STAMP_NS, ("a", "b"), (1.0, 2.0))
    reader = JointStateReader()
    reader.read(cdr)
    for length in range(len(cdr) - 8):
        with pytest.raises(WireError):
            reader.read(cdr[:length])
