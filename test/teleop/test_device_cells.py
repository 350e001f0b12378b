"""Seven kinds of faults at every device: it is released in time, and the limits are kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from teleop_rig import BEGIN_NS, HOME, MS, ROBOT, SEAT, TICK_NS, pilot

from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import ArbiterConfig
from arfm_ros.faults.fuzz import LANES, LIMITS, FuzzResult, judge
from arfm_ros.faults.inject.timing import FAULTS
from arfm_ros.teleop.config import load_config
from arfm_ros.teleop.device import TeleopState
from arfm_ros.teleop.devices.hand import HandDevice, read_hand_map
from arfm_ros.teleop.devices.joy import JoyDevice, read_joy_map
from arfm_ros.teleop.devices.leader import LeaderDevice, read_leader_map
from arfm_ros.teleop.devices.phone import NAMES, PhoneDevice

FAULT_MS, OVER_MS, END_MS = 1_000, 2_200, 3_800
RELEASE_MS = 100
CELLS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
F64 = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Source:
    """A device and the numbers that its driver sends at 100 Hz; `held` is the deadman."""

    device: Any
    values: Callable[[float], F64]  # of seconds
    hear: Callable[[F64, bool, int, int], None]  # values, held, stamp, now
    wrong: float  # how far numbers are off that are wrong


def joy() -> Source:
    made = JoyDevice(read_joy_map("gamepad", load_config("gamepad", "joy")), SEAT)

    def hear(values: F64, held: bool, stamp_ns: int, now_ns: int) -> None:
        made.hear(values.tolist(), [0] * 10 + [int(held)], stamp_ns, now_ns)

    return Source(made, lambda t: np.array([0, 0.5 * np.sin(3 * t), 0, 0, 0, 0]), hear, 0.4)


def hand() -> Source:
    made = HandDevice(read_hand_map("hand", load_config("hand", "hand")), SEAT)

    def hear(values: F64, held: bool, stamp_ns: int, now_ns: int) -> None:
        made.hear_clutch(held, now_ns)
        made.hear_pose(values, np.array([0, 0, 0, 1.0]), "base", stamp_ns, now_ns)

    return Source(made, lambda t: np.array([0.05 * np.sin(3 * t), 0, 0]), hear, 0.3)


def twist() -> Source:
    given = load_config("hand", "hand") | {"twist": True}
    made = HandDevice(read_hand_map("hand", given), SEAT)

    def hear(values: F64, held: bool, stamp_ns: int, now_ns: int) -> None:
        made.hear_clutch(held, now_ns)
        made.hear_twist(values, "base", stamp_ns, now_ns)

    return Source(made, lambda t: np.array([0.1 * np.sin(3 * t), 0, 0, 0, 0, 0]), hear, 0.3)


def leader() -> Source:
    given = load_config("gello_fr3", "leader")
    made = LeaderDevice(read_leader_map("gello_fr3", given, SEAT), SEAT)
    names = list(given["joints"])

    def hear(values: F64, held: bool, stamp_ns: int, now_ns: int) -> None:
        moved = HOME + (values if held else 0.0)
        made.hear(names, moved.tolist(), stamp_ns, now_ns)

    return Source(made, lambda t: np.append(np.full(7, 0.1 * np.sin(6 * t)), 0.0), hear, 0.5)


def phone() -> Source:
    made = PhoneDevice(SEAT)

    def hear(values: F64, held: bool, stamp_ns: int, now_ns: int) -> None:
        numbers = [float(held), *values.tolist(), 0.0, 0.0, 0.0, 0.0, 1.0]
        made.hear(NAMES, numbers, stamp_ns, now_ns)

    return Source(made, lambda t: np.array([0.0, 0.2 * np.sin(3 * t)]), hear, 0.5)


SOURCES = {one.__name__: one for one in (joy, hand, twist, leader, phone)}


class Wire:
    """From the driver to the device, with a fault on the way between two times."""

    def __init__(self, source: Source, fault: str) -> None:
        self._source, self._fault = source, fault
        self._times = FAULTS[fault](random.Random(1)) if fault in FAULTS else None
        self._queue: list[tuple[int, F64, bool, int]] = []
        self._frozen: F64 | None = None
        self.fresh_ms = 0  # when the newest message was sent that is in time and a number

    def send(self, at_ms: int) -> None:
        """Send what the driver says now, and deliver what is due."""
        now_ns = BEGIN_NS + at_ms * MS
        held = 200 < at_ms < 3_000 and not OVER_MS <= at_ms < OVER_MS + 100  # pressed anew
        meets = FAULT_MS <= at_ms < OVER_MS
        values = self._changed(self._source.values(at_ms / 1e3), meets)
        waits = self._times(b"", at_ms / 1e3) if meets and self._times else [(0.0, b"")]
        self._queue += [(at_ms + round(1e3 * s), values, held, now_ns) for s, _ in waits]
        for _, sent, pressed, stamp_ns in [one for one in self._queue if one[0] <= at_ms]:
            self._source.hear(sent, pressed, stamp_ns, now_ns)
            if np.isfinite(sent).all() and now_ns - stamp_ns < 80 * MS:
                self.fresh_ms = (stamp_ns - BEGIN_NS) // MS
        self._queue = [one for one in self._queue if one[0] > at_ms]

    def _changed(self, values: F64, meets: bool) -> F64:
        self._frozen = values if self._frozen is None or not meets else self._frozen
        if meets and self._fault == "stuck":
            return self._frozen
        if meets and self._fault == "wrong":
            return np.asarray(values + self._source.wrong)
        return np.full_like(values, np.nan) if meets and self._fault == "garbage" else values


@dataclass
class Run:
    """What happened, tick by tick."""

    at_ms: list[int] = field(default_factory=list)
    engaged: list[bool] = field(default_factory=list)
    fresh_ms: list[int] = field(default_factory=list)
    owner: list[str] = field(default_factory=list)
    broken: FuzzResult = field(default_factory=lambda: FuzzResult(0, 0))


def run(source: Source, fault: str) -> Run:
    """Drive the arm from a device whose messages a fault meets between two times."""
    arbiter, fly, done = Arbiter(ArbiterConfig(LIMITS, lanes=LANES)), pilot(), Run()
    arbiter.engage(BEGIN_NS, HOME)
    wire, measured, before = Wire(source, fault), HOME.copy(), None
    for at_ms in range(10, END_MS, 10):
        now_ns = BEGIN_NS + at_ms * MS
        wire.send(at_ms)
        told = TeleopState(ROBOT.names, measured, measured, "human")
        source.device.feel(told)
        wanted = fly.follow(source.device.read(now_ns), told, now_ns)
        assert np.isfinite(list(wanted.positions.values())).all()
        arbiter.on_state(measured, now_ns, now_ns)
        if wanted.engaged:
            target = np.array([wanted.positions.get(n, m) for n, m in zip(ROBOT.names, measured)])
            assert not arbiter.on_human(np.clip(target, LIMITS.low, LIMITS.high), now_ns)
        else:
            arbiter.on_human_engaged(False, now_ns)
        decision = arbiter.tick(now_ns)
        judge(before, decision, TICK_NS, done.broken)
        assert decision.command is not None
        measured, before = decision.command.copy(), decision
        done.at_ms.append(at_ms), done.engaged.append(wanted.engaged)
        done.fresh_ms.append(wire.fresh_ms), done.owner.append(decision.authority)
    return done


@pytest.mark.parametrize("fault", CELLS)
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_fault_of_every_device_releases_in_time_and_keeps_the_limits(
    name: str, fault: str
) -> None:
    done = run(SOURCES[name](), fault)
    assert not done.broken.over, done.broken.text()
    at_ms, engaged = np.array(done.at_ms), np.array(done.engaged)
    silent = at_ms - np.array(done.fresh_ms) > RELEASE_MS
    assert not engaged[silent].any()
    driven = np.array([who == "human" for who in done.owner])
    assert not driven[silent].any()
    assert engaged[(at_ms > 700) & (at_ms < FAULT_MS)].all()  # it drove before, and drives again
    assert engaged[(at_ms > OVER_MS + 600) & (at_ms < 2_950)].any()
    assert not engaged[at_ms > 3_600].any()  # a leader is let go half a second after it rests
    if fault == "off":
        assert silent[(at_ms > FAULT_MS + 110) & (at_ms < OVER_MS)].all()
