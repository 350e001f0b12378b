"""Gamepads: the map is checked, late messages do not count, a deadman is held."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import BEGIN_NS, MS, SEAT

from arfm_ros.core.errors import ConfigError
from arfm_ros.teleop.config import configs, load_config
from arfm_ros.teleop.device import RATE, TWIST
from arfm_ros.teleop.devices.joy import JoyDevice, read_joy_map

AXES = [0.0] * 6
HELD = [0] * 10 + [1]
FREE = [0] * 11


def device(**changes) -> JoyDevice:
    return JoyDevice(read_joy_map("gamepad", load_config("gamepad", "joy") | changes), SEAT)


def rested() -> JoyDevice:
    made = device()
    made.hear(AXES, FREE, BEGIN_NS, BEGIN_NS)
    return made


def test_a_held_button_drives_and_its_release_ends_it_with_the_message() -> None:
    joy, now = rested(), BEGIN_NS + 10 * MS
    joy.hear([0.0, 1.0, 0, 0, 0, 0], HELD, now, now)
    targets = joy.read(now)
    assert targets["arm"].kind == TWIST and targets["arm"].values[0] == pytest.approx(0.2)
    assert targets["gripper"].kind == RATE and targets["gripper"].values[0] == 0.0
    joy.hear([0.0, 1.0, 0, 0, 0, 0], FREE, now, now)
    assert joy.read(now) == {} and joy.trouble == ""


def test_an_unplugged_device_is_released_within_100_ms() -> None:
    joy = rested()
    joy.hear(AXES, HELD, BEGIN_NS, BEGIN_NS)
    assert joy.read(BEGIN_NS + 70 * MS)
    assert joy.read(BEGIN_NS + 90 * MS) == {} and "silent" in joy.trouble


@pytest.mark.parametrize("late_ms, words", [(150, "late"), (-200, "clocks"), (10**10, "stamp")])
def test_stamps_of_the_device_count(late_ms: int, words: str) -> None:
    joy = device()
    for k in range(30):
        now = BEGIN_NS + k * 10 * MS
        joy.hear(AXES, HELD, now - late_ms * MS, now)
        assert joy.read(now) == {}
    assert words in joy.trouble


def test_a_device_with_fewer_axes_than_the_map_is_named() -> None:
    joy = device()
    joy.hear([0.0] * 4, HELD, BEGIN_NS, BEGIN_NS)
    assert joy.read(BEGIN_NS) == {}
    assert "6 axes and 11 buttons, the device has 4 and 11" in joy.trouble


def test_an_axis_that_never_rested_does_not_move_the_arm() -> None:
    joy = device()
    joy.hear([0.0, 0.0, 1.0, 0, 0, 0], HELD, BEGIN_NS, BEGIN_NS)  # a trigger, as axis 2 on another
    assert joy.read(BEGIN_NS) == {} and "axis 2 (yaw" in joy.trouble
    joy.hear(AXES, HELD, BEGIN_NS + MS, BEGIN_NS + MS)
    assert set(joy.read(BEGIN_NS + MS)) == {"arm", "gripper"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_axis_that_is_not_finite_counts_as_silence(bad: float) -> None:
    joy = rested()
    for k in range(1, 20):
        now = BEGIN_NS + k * 10 * MS
        joy.hear([0.0, bad, 0, 0, 0, 0], HELD, now, now)
    assert joy.read(now) == {} and "finite" in joy.trouble


def test_motion_above_a_threshold_takes_over_where_the_map_says_so() -> None:
    joy = device(deadman={"motion": 0.3})
    joy.hear(AXES, FREE, BEGIN_NS, BEGIN_NS)
    assert joy.read(BEGIN_NS) == {}
    engaged = []
    for k in range(1, 120):
        now = BEGIN_NS + k * 10 * MS
        joy.hear([0.0, 0.6 if k < 20 else 0.0, 0, 0, 0, 0], FREE, now, now)
        engaged.append(bool(joy.read(now)))
    assert engaged[0] and engaged[60] and not engaged[-1]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"axes": 1}, "uses axis 3, but says that there are 1"),
        ({"deadman": {}}, "deadman needs one of"),
        ({"tool": {"w": {}}}, "may have x, y, z"),
        ({"frame": "world"}, "frame is 'world'"),
        ({"deadband": "a lot"}, "deadband"),
        ({"colour": 1}, "has colour"),
    ],
)
def test_a_wrong_map_is_one_error_that_names_the_key(changes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        device(**changes)


def test_every_shipped_map_of_a_joy_can_be_read() -> None:
    assert {"gamepad", "spacemouse"} <= set(configs())
    for name in ("gamepad", "spacemouse"):
        made = JoyDevice(read_joy_map(name, load_config(name, "joy")), SEAT)
        made.hear([0.0] * made.map.axes, [1] * made.map.buttons, BEGIN_NS, BEGIN_NS)
        assert np.isfinite(made.read(BEGIN_NS)["arm"].values).all()
