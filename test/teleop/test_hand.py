"""Hands and phones: clutch, anchors, frames, and what happens when the tracker loses them."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import BEGIN_NS, MS, SEAT

from arfm_ros.teleop.config import load_config
from arfm_ros.teleop.device import OPENING, POSE, TWIST
from arfm_ros.teleop.devices.hand import HandDevice, read_hand_map
from arfm_ros.teleop.devices.phone import NAMES, PhoneDevice

STILL = np.array([0.0, 0.0, 0.0, 1.0])


class Rig:
    def __init__(self, **changes) -> None:
        given = load_config("hand", "hand") | changes
        self.hand = HandDevice(read_hand_map("hand", given), SEAT)
        self.now = BEGIN_NS

    def move(self, position, closed=True, frame="base", turn=STILL, pause_ms=10):
        self.now += pause_ms * MS
        self.hand.hear_clutch(closed, self.now)
        self.hand.hear_pose(np.array(position, float), turn, frame, self.now, self.now)
        return self.hand.read(self.now)


def test_the_tool_moves_as_the_hand_since_the_clutch_was_closed_and_anchors_anew() -> None:
    rig = Rig(scale=0.5)
    assert rig.move([1, 1, 1], closed=False) == {}
    first = rig.move([1, 1, 1])["arm"]
    assert first.kind == POSE and first.values == pytest.approx(np.eye(4))
    assert rig.move([1.02, 1, 1])["arm"].values[:3, 3] == pytest.approx([0.01, 0, 0])
    assert rig.move([1.02, 1, 1], closed=False) == {}
    again = rig.move([1.02, 1, 1.01])["arm"]
    assert again.values == pytest.approx(np.eye(4)) and again.clutch == first.clutch + 1


def test_in_the_frame_of_the_tool_the_hand_counts_from_its_own_directions() -> None:
    quarter = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    rig = Rig(frame="tool")
    rig.move([0, 0, 0], turn=quarter)
    moved = rig.move([0.01, 0, 0], turn=quarter)["arm"]
    assert moved.values[:3, 3] == pytest.approx([0, -0.01, 0]) and moved.frame == "tool"


def test_a_jump_of_the_tracker_lets_go_until_the_clutch_is_opened() -> None:
    rig = Rig()
    rig.move([0, 0, 0])
    assert rig.move([0.5, 0, 0]) == {} and "jumped" in rig.hand.trouble
    assert rig.move([0.5, 0, 0]) == {}
    rig.move([0.5, 0, 0], closed=False)
    assert rig.move([0.5, 0, 0])["arm"].values == pytest.approx(np.eye(4))


def test_a_tracker_that_was_silent_has_to_be_clutched_anew() -> None:
    rig = Rig()
    rig.move([0, 0, 0])
    rig.hand.hear_clutch(True, rig.now + 90 * MS)
    assert rig.hand.read(rig.now + 90 * MS) == {} and "silent" in rig.hand.trouble
    assert rig.move([0.01, 0, 0], pause_ms=200) == {}
    rig.move([0.01, 0, 0], closed=False)
    assert rig.move([0.01, 0, 0])


@pytest.mark.parametrize(
    "position, turn, frame, words",
    [
        ([0, 0, 0], STILL, "vr_room", "frame 'vr_room', needs 'base'"),
        ([0, 0, 0], STILL, "", "needs 'base'"),
        ([0, np.nan, 0], STILL, "base", "not finite"),
        ([0, 0, 0], np.zeros(4), "base", "no length"),
    ],
)
def test_a_pose_that_cannot_be_used_is_said_and_counts_as_none(position, turn, frame, words):
    rig = Rig()
    for _ in range(12):
        assert rig.move(position, frame=frame, turn=turn) == {}
    assert words in rig.hand.trouble


def test_a_twist_is_followed_while_the_clutch_is_closed_and_the_trigger_moves_the_gripper() -> (
    None
):
    rig = Rig(twist=True, topic="hand/twist", scale=2.0)
    rig.hand.hear_clutch(True, BEGIN_NS)
    rig.hand.hear_twist(np.arange(6.0), "base", BEGIN_NS, BEGIN_NS)
    targets = rig.hand.read(BEGIN_NS)
    assert targets["arm"].kind == TWIST and targets["arm"].values.tolist() == [0, 2, 4, 3, 4, 5]
    assert "gripper" not in targets
    rig.hand.hear_trigger(0.75)
    grip = rig.hand.read(BEGIN_NS)["gripper"]
    assert grip.kind == OPENING and grip.values == pytest.approx([0.25])


def told(**values: float) -> tuple[list[str], list[float]]:
    found = dict.fromkeys(NAMES, 0.0) | {"qw": 1.0} | values
    return list(found), list(found.values())


def test_a_thumb_on_the_phone_drives_and_a_page_that_falls_silent_does_not() -> None:
    phone = PhoneDevice(SEAT)
    phone.hear(*told(), BEGIN_NS, BEGIN_NS)
    assert phone.read(BEGIN_NS) == {}
    phone.hear(*told(touch=1), BEGIN_NS, BEGIN_NS)
    assert phone.read(BEGIN_NS)["arm"].values == pytest.approx(np.eye(4))
    phone.hear(*told(touch=1, y=0.5, opening=0.2), BEGIN_NS + MS, BEGIN_NS + MS)
    targets = phone.read(BEGIN_NS + MS)
    assert targets["arm"].values[:3, 3] == pytest.approx([0.15, 0, 0])
    assert targets["gripper"].values == pytest.approx([0.2])
    assert phone.read(BEGIN_NS + 90 * MS) == {}
    late = BEGIN_NS + 200 * MS
    phone.hear(*told(touch=1), late, late)
    first = phone.read(late)["arm"]
    assert first.clutch == 2 and first.values == pytest.approx(np.eye(4))
    phone.hear(["touch"], [1.0], late, late)
    assert phone.read(late + 100 * MS) == {} and "lacks x" in phone.trouble
