"""A leader arm: calibrated by name, aligned slowly, felt where it takes effort."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import BEGIN_NS, HOME, MS, ROBOT, SEAT, TICK_NS, state

from arfm_ros.core.errors import ConfigError
from arfm_ros.teleop.config import load_config
from arfm_ros.teleop.devices.leader import LeaderDevice, read_leader_map

GIVEN = load_config("gello_fr3", "leader")
JOINTS = list(GIVEN["joints"])


def device(**changes) -> LeaderDevice:
    made = LeaderDevice(read_leader_map("gello_fr3", GIVEN | changes, SEAT), SEAT)
    made.feel(state())
    return made


def hear(leader: LeaderDevice, position, now: int, names=JOINTS) -> None:
    leader.hear(names, list(position), now, now)


def test_moving_the_leader_takes_over_slowly_from_the_command_in_force() -> None:
    leader, far = device(), HOME + np.append(np.full(7, 0.4), -0.5)
    hear(leader, far, BEGIN_NS)
    assert leader.read(BEGIN_NS) == {}
    path = []
    for k in range(1, 300):
        now = BEGIN_NS + k * TICK_NS
        hear(leader, far + 0.1 * np.sin(np.pi * k / 50), now)
        target = leader.read(now).get("arm")
        if target is None:
            assert not path  # it has not moved far enough yet
            continue
        assert target.names == ROBOT.names and target.stamp_ns == now
        path.append(target.values)
        if leader.aligned:
            break
    assert np.abs(path[0] - HOME).max() <= 1e-3
    steps = np.abs(np.diff(path, axis=0)).max(axis=1)
    assert steps[:80].max() <= 0.4 * 0.01 + 1e-9 and steps.max() < 0.03
    assert leader.aligned and len(path) > 90


def test_calibration_is_scale_and_offset_by_name_in_any_order() -> None:
    joints = {
        f"j{k}": {"axis": name, "scale": -1.0, "offset": 0.1 * k}
        for k, name in enumerate(ROBOT.names)
    }
    leader = device(joints=joints, deadman={"topic": "leader/engaged"}, align={"speed": 1e6})
    raw = np.linspace(-0.3, 0.4, 8)
    for k in range(2):
        now = BEGIN_NS + k * TICK_NS
        leader.press(True, now)
        hear(leader, raw[::-1], now, [f"j{k}" for k in reversed(range(8))])
        target = leader.read(now)
    assert target["arm"].values == pytest.approx(0.1 * np.arange(8) - raw)


def test_the_pedal_and_the_leader_have_to_be_repeated() -> None:
    leader = device(deadman={"topic": "leader/engaged"})
    hear(leader, HOME, BEGIN_NS)
    assert leader.read(BEGIN_NS) == {}
    leader.press(True, BEGIN_NS)
    assert leader.read(BEGIN_NS + 70 * MS)
    hear(leader, HOME, BEGIN_NS + 85 * MS)
    assert leader.read(BEGIN_NS + 90 * MS) == {}  # the pedal is silent
    leader.press(True, BEGIN_NS + 90 * MS)
    assert leader.read(BEGIN_NS + 91 * MS)
    leader.press(True, BEGIN_NS + 180 * MS)
    assert leader.read(BEGIN_NS + 180 * MS) == {} and "silent" in leader.trouble


def test_another_leader_arm_is_named_and_drives_nothing() -> None:
    leader = device()
    hear(leader, [0.0] * 6, BEGIN_NS, [f"ur_joint{k}" for k in range(6)])
    assert leader.read(BEGIN_NS) == {}
    assert "lacks gello_joint1" in leader.trouble and "it has: ur_joint0" in leader.trouble
    hear(leader, [float("nan")] * 8, BEGIN_NS)
    assert "gello_joint1" in leader._hearing.refused and "finite" in leader._hearing.refused


def test_what_the_arm_cannot_follow_is_felt_within_a_bound() -> None:
    leader = device(deadman={"topic": "p"}, effort={"gain": 2.0, "max": 0.5})
    assert leader.effort() == {}
    leader.press(True, BEGIN_NS)
    hear(leader, HOME + 0.1, BEGIN_NS)
    leader.read(BEGIN_NS)
    effort = leader.effort()
    assert effort["gello_joint1"] == pytest.approx(-0.2)
    hear(leader, HOME + 3.0, BEGIN_NS)
    assert leader.effort()["gello_joint1"] == -0.5


@pytest.mark.parametrize(
    "joints", [{}, {"a": {"axis": "elbow"}}, {"a": {"axis": "gripper"}, "b": {"axis": "gripper"}}]
)
def test_a_map_to_axes_that_the_robot_lacks_or_twice_is_one_error(joints) -> None:
    with pytest.raises(ConfigError, match="once: fr3_joint1"):
        device(joints=joints)
