"""The page as a device: a press that ended never drives again."""

from __future__ import annotations

import pytest
from teleop_rig import BEGIN_NS, HOME, MS, ROBOT, SEAT, TICK_NS, pilot, state

from arfm_ros.console.messages import PageError
from arfm_ros.console.pad import TWIST_NAMES, PadDevice

ARM = [axis.name for axis in ROBOT.group("arm").axes]
TWIST = dict.fromkeys(TWIST_NAMES, 0.0)


def seated() -> PadDevice:
    pad = PadDevice(ROBOT, SEAT)
    pad.sit()
    pad.feel(state())
    pad.hear({"held": False, "press": 0}, BEGIN_NS, BEGIN_NS)
    return pad


def drive(press: int = 1, kind: str = "twist", **more: object) -> dict[str, object]:
    values = {"twist": TWIST | {"x": 1.0}, "joints": {ARM[0]: 1.0}}[kind]
    return {"held": True, "press": press, "kind": kind, "values": values, **more}


def hold(pad: PadDevice, message: dict[str, object], begin_ns: int, count: int) -> list[object]:
    """Send a message every 30 ms and read every 10 ms."""
    found = []
    for k in range(count):
        now_ns = begin_ns + k * TICK_NS
        if k % 3 == 0:
            pad.hear(message, now_ns, now_ns)
        found.append(pad.read(now_ns))
    return found


def test_a_press_drives_and_silence_ends_it_for_good() -> None:
    pad = seated()
    assert all(hold(pad, drive(), BEGIN_NS, 30))
    last_ns = BEGIN_NS + 27 * TICK_NS
    assert pad.read(last_ns + 80 * MS) and not pad.read(last_ns + 90 * MS)
    assert "silent" in pad.trouble
    assert not any(hold(pad, drive(), last_ns + 100 * MS, 30))
    assert all(hold(pad, drive(press=2), last_ns + 600 * MS, 30))


def test_nobody_drives_without_a_seat_nor_before_saying_that_nothing_is_held() -> None:
    pad = PadDevice(ROBOT, SEAT)
    pad.feel(state())
    assert not any(hold(pad, drive(), BEGIN_NS, 9))
    pad.sit()
    assert not any(hold(pad, drive(), BEGIN_NS, 9))  # held down while it connected
    pad.hear({"held": False, "press": 1}, BEGIN_NS, BEGIN_NS)
    assert not any(hold(pad, drive(press=1), BEGIN_NS + 100 * MS, 9))
    assert all(hold(pad, drive(press=2), BEGIN_NS + 300 * MS, 9))
    pad.stand_up()
    assert not any(hold(pad, drive(press=3), BEGIN_NS + 600 * MS, 9))


def test_a_message_that_was_held_up_does_not_drive() -> None:
    pad = seated()
    pad.hear(drive(), BEGIN_NS, BEGIN_NS + 200 * MS)
    assert not pad.read(BEGIN_NS + 200 * MS)


def test_another_kind_within_a_press_releases() -> None:
    pad = seated()
    assert all(hold(pad, drive(), BEGIN_NS, 9))
    assert not any(hold(pad, drive(kind="joints"), BEGIN_NS + 90 * MS, 9))


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "feet"}, {"values": 3}, {"values": {"x": "1"}}, {"values": TWIST | {"x": None}},
     {"frame": "moon"}, {"press": "1"}, {"grip": "open"}],
)  # fmt: skip
def test_what_cannot_be_used_is_named_and_releases(wrong: dict[str, object]) -> None:
    pad = seated()
    hold(pad, drive(), BEGIN_NS, 9)
    now_ns = BEGIN_NS + 90 * MS
    with pytest.raises(PageError):
        pad.hear(drive() | wrong, now_ns, now_ns)
    assert not pad.read(now_ns)
    assert not any(hold(pad, drive(), now_ns, 9))


def test_an_axis_that_the_arm_lacks_is_named() -> None:
    pad = seated()
    with pytest.raises(PageError, match="the arm has: fr3_joint1"):
        pad.hear(drive(kind="joints") | {"values": {"elbow": 1.0}}, BEGIN_NS, BEGIN_NS)


def test_a_jogged_joint_moves_alone_and_waits_for_the_arm() -> None:
    pad, moves = seated(), pilot()
    found = []
    for k, targets in enumerate(hold(pad, drive(kind="joints"), BEGIN_NS, 120)):
        found.append(moves.follow(targets, state(), BEGIN_NS + k * TICK_NS).positions)
    first, last = ([one[n] for n in ARM] for one in (found[0], found[-1]))
    assert first == pytest.approx(HOME[:7])  # taking over moves nothing
    assert last[0] - HOME[0] == pytest.approx(0.12)  # no farther ahead of an arm that stays
    assert last[1:] == pytest.approx(HOME[1:7])


def test_a_twist_moves_the_tool_and_an_untouched_gripper_is_not_claimed() -> None:
    pad, moves = seated(), pilot()
    for k, targets in enumerate(hold(pad, drive(), BEGIN_NS, 30)):
        wanted = moves.follow(targets, state(), BEGIN_NS + k * TICK_NS)
        assert wanted.engaged and set(wanted.positions) == set(ARM)
    for k, targets in enumerate(hold(pad, drive(grip=-1.0), BEGIN_NS + 300 * MS, 30)):
        wanted = moves.follow(targets, state(), BEGIN_NS + 300 * MS + k * TICK_NS)
    assert wanted.positions["gripper"] < 1.0


def test_a_phone_drives_by_its_touch() -> None:
    pad, moves = seated(), pilot()
    values = {
        "touch": 1.0,
        "x": 0.0,
        "y": 0.0,
        "z": 0.0,
        "qx": 0.0,
        "qy": 0.0,
        "qz": 0.0,
        "qw": 1.0,
    }
    message = {"held": True, "press": 1, "kind": "phone", "values": values}
    touched = hold(pad, message, BEGIN_NS, 3)
    dragged = {**message, "values": {**values, "y": 0.5}}
    for k, targets in enumerate([*touched, *hold(pad, dragged, BEGIN_NS + 3 * TICK_NS, 30)]):
        wanted = moves.follow(targets, state(), BEGIN_NS + k * TICK_NS)
    assert wanted.engaged
    assert max(abs(wanted.positions[n] - h) for n, h in zip(ARM, HOME)) > 0.01
