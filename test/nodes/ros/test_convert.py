"""Messages and values: what goes out comes back the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import ActionChunk, ChunkInfo
from arfm_ros.nodes.ros import convert
from arfm_ros.nodes.ros.axis_reader import AxisReader  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402
from arfm_ros.wire.joints import JointStateReader

STAMP = 1_790_000_000_123_456_789
NAMES = (*(f"fr3_joint{i}" for i in range(1, 8)), "gripper")


def chunk(seed, horizon=16):
    rng = np.random.default_rng(seed)
    actions = rng.standard_normal((horizon, len(NAMES)), dtype=np.float32)
    return ActionChunk(actions, STAMP + seed, 50_000_000, NAMES, "human" if seed else "policy")


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_000_000_000, STAMP])
def test_times_come_back_to_the_nanosecond(ns):
    assert convert.time_to_ns(convert.ns_to_time(ns)) == ns
    assert convert.time_to_ns(convert.ns_to_duration(ns)) == ns


@pytest.mark.parametrize("seed,horizon", [(0, 16), (1, 1), (2, 50)])
def test_a_chunk_comes_back_from_the_wire_bit_for_bit(seed, horizon):
    sent = chunk(seed, horizon)
    cdr = serialize_message(convert.chunk_to_trajectory(sent))
    got = convert.trajectory_to_chunk(deserialize_message(cdr, JointTrajectory))
    assert np.array_equal(got.actions, sent.actions) and got.actions.dtype == np.float32
    for name in ("stamp_ns", "dt_ns", "names", "source"):
        assert getattr(got, name) == getattr(sent, name)


def test_non_finite_actions_pass_so_that_the_arbiter_can_refuse_them():
    sent = chunk(0)
    sent.actions[3, 2] = np.nan
    got = convert.trajectory_to_chunk(convert.chunk_to_trajectory(sent))
    assert np.isnan(got.actions[3, 2])


def test_points_of_another_size_are_refused_with_both_numbers():
    message = convert.chunk_to_trajectory(chunk(0))
    message.points[2].positions = [0.0] * 7
    with pytest.raises(SpecError, match=r"\[7, 8\] positions, needs 8"):
        convert.trajectory_to_chunk(message)


def test_uneven_points_are_refused():
    message = convert.chunk_to_trajectory(chunk(0))
    message.points[2].time_from_start = convert.ns_to_duration(1)
    with pytest.raises(SpecError, match="multiples of the first"):
        convert.trajectory_to_chunk(message)


def test_an_empty_trajectory_is_refused():
    with pytest.raises(SpecError, match="no points"):
        convert.trajectory_to_chunk(JointTrajectory(joint_names=["a"]))


def test_chunk_info_and_stage_latencies_come_back():
    info = ChunkInfo(7, "ab" * 32, 3, 10, 2, True, STAMP, STAMP + 5, 11, 12, 13)
    assert all(getattr(info, f.name) != f.default for f in dataclasses.fields(info))
    message = convert.info_to_diagnostics(info, STAMP, {"encode": 12.345})
    assert convert.time_to_ns(message.header.stamp) == STAMP
    assert convert.diagnostics_to_info(message) == (info, {"encode": 12.345})


def test_chunk_info_without_a_field_is_refused_by_its_name():
    message = convert.info_to_diagnostics(ChunkInfo(), STAMP)
    message.status[0].values = [v for v in message.status[0].values if v.key != "seed"]
    with pytest.raises(SpecError, match="seed"):
        convert.diagnostics_to_info(message)


def read(message):
    return JointStateReader().read(serialize_message(message))


def test_joints_are_picked_by_name_whatever_their_order():
    order = np.random.default_rng(0).permutation(8)
    arm = JointState(
        name=[NAMES[i] for i in order if i < 7], position=[i / 10 for i in order if i < 7]
    )
    gripper = JointState(name=["gripper"], position=[0.5])
    found = {"joint_states": read(arm), "gripper/joint_states": read(gripper)}
    got = AxisReader(load_robot("fr3")).positions(found, NAMES)
    assert np.allclose(got, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.5])


def test_missing_joints_are_named_beside_those_that_came():
    with pytest.raises(SpecError, match="lack fr3_joint2; they name: fr3_joint1"):
        reader = AxisReader(load_robot("fr3"))
        one = JointState(name=["fr3_joint1"], position=[0.0])
        reader.positions({"joint_states": read(one)}, NAMES[:2])


def test_a_joint_state_without_positions_is_refused():
    with pytest.raises(SpecError, match="joint states lack gripper; they name: gripper"):
        reader = AxisReader(load_robot("fr3"))
        empty = JointState(name=["gripper"])
        reader.positions({"gripper/joint_states": read(empty)}, ["gripper"])


def test_time_zero_means_no_stamp():
    assert convert.time_to_ns(Time()) == 0
