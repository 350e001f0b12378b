"""Joint states from any number of topics, by the robot's own names and units."""

import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from arfm_ros.core.errors import SpecError  # noqa: E402
from arfm_ros.nodes.arbiter.inputs import Moment  # noqa: E402
from arfm_ros.nodes.arbiter.robot_states import RobotStates  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402
from arfm_ros.wire.joints import JointStateReader  # noqa: E402

MS = 1_000_000
T0 = 1_000_000 * MS


def state(names, values, at_ns=T0, effort=()):
    message = JointState(name=list(names), position=list(values), effort=list(effort))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(at_ns, 1_000_000_000)
    return JointStateReader().read(serialize_message(message))


def moment(at_ns=T0):
    return Moment(ros_ns=at_ns, steady_ns=at_ns + 5)


def taken(robot, messages):
    states = RobotStates(load_robot(robot), 1.0)
    found = [states.take(topic, message, moment()) for topic, message in messages]
    return found[-1]


UR = ("elbow_joint", "shoulder_lift_joint", "shoulder_pan_joint", "wrist_1_joint")
UR += ("wrist_2_joint", "wrist_3_joint", "robotiq_85_left_knuckle_joint")


def test_a_gripper_rides_in_the_arm_s_own_joint_states_under_its_driver_s_name():
    positions, at_ns = taken(
        "ur5e", [("joint_states", state(UR, [3.0, 2.0, 1.0, 4.0, 5.0, 6.0, 0.8]))]
    )
    assert positions.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, pytest.approx(0.0)]
    assert at_ns == T0 + 5  # on the steady clock


def test_partial_messages_are_merged_and_the_state_is_as_old_as_its_oldest_joint():
    states = RobotStates(load_robot("ur5e"), 1.0)
    with pytest.raises(SpecError, match="lack wrist_1_joint"):
        states.take("joint_states", state(UR[:3], [3.0, 2.0, 1.0]), moment())
    later = T0 + 20 * MS
    positions, at_ns = states.take(
        "joint_states", state(UR[3:], [4.0, 5.0, 6.0, 0.0], later), moment(later)
    )
    assert positions[:3].tolist() == [1.0, 2.0, 3.0]
    assert at_ns == T0 + 5
    assert states.oldest() in UR[:3]


def test_a_joint_that_is_told_no_more_ends_the_states_and_is_named():
    states = RobotStates(load_robot("ur5e"), 1.0)
    assert states.take("joint_states", state(UR, [0.0] * 7), moment()) is not None
    for k in range(1, 10):
        at_ns = T0 + 10 * k * MS
        assert states.take("joint_states", state(UR[1:], [0.0] * 6, at_ns), moment(at_ns)) is None
    at_ns = T0 + 150 * MS
    with pytest.raises(SpecError, match="lack elbow_joint for 150 ms"):
        states.take("joint_states", state(UR[1:], [0.0] * 6, at_ns), moment(at_ns))


def test_two_arms_are_read_each_from_its_own_topic():
    robot = load_robot("fr3_two_arms")
    states = RobotStates(robot, 1.0)
    found, numbers = None, {g.name: n for n, g in enumerate(robot.groups)}
    for group in sorted(robot.groups, key=lambda g: g.kind == "arm"):  # the grippers first
        names = [axis.message_name for axis in group.axes]
        values = [0.1 * (numbers[group.name] + 1)] * len(names)
        try:
            found = states.take(group.state_topics[0], state(names, values), moment())
        except SpecError:
            continue
    assert found is not None  # with the second arm
    by_name = dict(zip(robot.names, found[0].tolist()))
    for number, group in enumerate(robot.groups):
        assert all(by_name[name] == pytest.approx(0.1 * (number + 1)) for name in group.names)


def test_a_robot_without_a_gripper_needs_none():
    robot = load_robot("iiwa14")
    arm = next(g for g in robot.groups if g.kind == "arm")
    names = [axis.message_name for axis in arm.axes]
    if len(robot.groups) == 1:
        positions, _ = taken("iiwa14", [(arm.state_topics[0], state(names, [0.1] * len(names)))])
        assert positions.tolist() == [0.1] * len(names)


def test_what_is_missing_is_named_with_its_topic():
    arm = [f"fr3_joint{n}" for n in range(1, 8)]
    with pytest.raises(SpecError, match="no state of gripper yet on gripper/joint_states"):
        taken("fr3", [("joint_states", state(arm, [0.0] * 7))])


def test_an_old_gripper_is_named_with_its_age_and_the_knob():
    states = RobotStates(load_robot("fr3"), 1.0)
    states.take("gripper/joint_states", state(["gripper_joint"], [1.0]), moment())
    arm = state([f"fr3_joint{n}" for n in range(1, 8)], [0.0] * 7, T0 + 3000 * MS)
    with pytest.raises(SpecError, match=r"gripper state .* 3.0 s old \(parameter gripper_age_max"):
        states.take("joint_states", arm, moment(T0 + 3000 * MS))


def test_nan_in_effort_is_nobody_s_business():
    messages = [
        ("gripper/joint_states", state(["gripper"], [0.5])),
        (
            "joint_states",
            state([f"fr3_joint{n}" for n in range(1, 8)], [0.0] * 7, effort=[float("nan")] * 7),
        ),
    ]
    positions, _ = taken("fr3", messages)
    assert positions.tolist() == [0.0] * 7 + [0.5]


def test_a_state_without_a_stamp_says_where_to_set_it():
    with pytest.raises(SpecError, match="set header.stamp"):
        taken("fr3", [("joint_states", state(["fr3_joint1"], [0.0], 0))])
