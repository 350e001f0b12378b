"""From devices to joint targets: nothing moves at take-over, nothing is claimed that was not."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import BEGIN_NS, HOME, ROBOT, TICK_NS, pilot, state

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.load import load_robot
from arfm_ros.teleop.device import JOINTS, OPENING, POSE, RATE, TWIST, TeleopTarget, seat_of
from arfm_ros.teleop.pilot import FIRST_STEP_NS

NOW = BEGIN_NS


def twist(*values: float) -> TeleopTarget:
    return TeleopTarget(TWIST, np.array(values), NOW)


def test_the_first_target_is_the_command_in_force_whatever_is_measured() -> None:
    command = HOME + 0.02
    made = pilot().follow({"arm": twist(0, 0, 0, 0, 0, 0)}, state(HOME, command), NOW)
    assert made.engaged and list(made.positions) == list(ROBOT.names[:7])
    assert list(made.positions.values()) == pytest.approx(command[:7].tolist(), abs=1e-9)


def test_a_first_twist_moves_as_far_as_one_that_follows_a_rest_of_10_ms() -> None:
    one, other, still = pilot(), pilot(), twist(0, 0, 0, 0, 0, 0)
    first = one.follow({"arm": twist(0.2, 0, 0, 0, 0, 0)}, state(), NOW)
    other.follow({"arm": still}, state(), NOW - FIRST_STEP_NS)
    later = other.follow({"arm": twist(0.2, 0, 0, 0, 0, 0)}, state(), NOW)
    assert first.positions == later.positions
    moved = np.array(list(first.positions.values())) - HOME[:7]
    assert 1e-4 < np.abs(moved).max() < 0.01


def test_a_gripper_is_claimed_from_the_first_time_that_it_is_moved_on() -> None:
    one, rate = pilot(), lambda v: TeleopTarget(RATE, np.array([v]), NOW)
    held = state(HOME, np.append(HOME[:7], 0.3))
    arm = twist(0, 0, 0, 0, 0, 0)
    assert "gripper" not in one.follow({"arm": arm, "gripper": rate(0.0)}, held, NOW).positions
    moved = one.follow({"arm": arm, "gripper": rate(-1.0)}, held, NOW + TICK_NS)
    assert moved.positions["gripper"] == pytest.approx(0.29)
    still = one.follow({"arm": arm, "gripper": rate(0.0)}, held, NOW + 2 * TICK_NS)
    assert still.positions["gripper"] == pytest.approx(0.29)
    one.follow({}, held, NOW + 3 * TICK_NS)
    fresh = one.follow({"arm": arm, "gripper": rate(0.0)}, held, NOW + 4 * TICK_NS)
    assert "gripper" not in fresh.positions


def test_a_closed_clutch_moves_from_where_the_tool_is() -> None:
    one, moved = pilot(), np.eye(4)
    moved[0, 3] = 0.1
    pose = lambda displaced, clutch: TeleopTarget(POSE, displaced, NOW, clutch=clutch)  # noqa: E731
    q = HOME
    for k in range(200):
        at = one.follow({"arm": pose(moved, 1)}, state(q), NOW + k * TICK_NS).positions
        q = np.append(list(at.values()), 1.0)
    anchored = one.follow({"arm": pose(np.eye(4), 2)}, state(q), NOW + 201 * TICK_NS)
    assert list(anchored.positions.values()) == pytest.approx(q[:7].tolist(), abs=1e-9)


@pytest.mark.parametrize(
    "targets, words",
    [
        ({"arm": twist(np.nan, 0, 0, 0, 0, 0)}, "not finite"),
        ({"arm": TeleopTarget(TWIST, np.zeros(3), NOW)}, "shape"),
        ({"leg": twist(0, 0, 0, 0, 0, 0)}, "group 'leg', the robot has: arm, gripper"),
        ({"arm": TeleopTarget(JOINTS, np.zeros(1), NOW, names=("elbow",))}, "names elbow"),
        ({"arm": TeleopTarget(JOINTS, np.zeros(0), NOW)}, "names nothing"),
        ({"arm": TeleopTarget(TWIST, np.zeros(6), NOW, frame="map")}, "frame 'map'"),
    ],
)
def test_what_cannot_be_used_releases_the_deadman_and_says_why(targets, words: str) -> None:
    one = pilot()
    assert one.follow({"arm": twist(0.1, 0, 0, 0, 0, 0)}, state(), NOW).engaged
    refused = one.follow(targets, state(), NOW + TICK_NS)
    assert not refused.engaged and not refused.positions and words in refused.note
    again = one.follow({"arm": twist(0, 0, 0, 0, 0, 0)}, state(HOME, HOME + 0.01), NOW)
    assert list(again.positions.values()) == pytest.approx((HOME[:7] + 0.01).tolist())


def test_the_oldest_stamp_of_all_groups_is_the_targets() -> None:
    targets = {
        "arm": twist(0, 0, 0, 0, 0, 0),
        "gripper": TeleopTarget(OPENING, np.array([0.5]), NOW - 7),
    }
    made = pilot().follow(targets, state(), NOW)
    assert made.stamp_ns == NOW - 7 and made.positions["gripper"] == 0.5


def test_a_seat_is_at_an_arm_of_the_robot() -> None:
    two = load_robot("fr3_two_arms")
    assert seat_of(two).arm == two.groups[0].name
    with pytest.raises(ConfigError, match="has the arms"):
        seat_of(two, "gripper")
