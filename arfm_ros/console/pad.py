"""The page as a teleoperation device: jog buttons, a touch pad, a phone in the hand.

A press begins with a pointer that goes down and has a number of its own. Silence, a lost
connection or a change of what is driven ends it for good: only a new press drives again, and the
first one of a connection counts after it said that nothing is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arfm_ros.console.messages import PageError, number_of
from arfm_ros.robots.robot import Robot
from arfm_ros.teleop.device import (
    FRAMES,
    JOINTS,
    NS,
    RATE,
    TWIST,
    Seat,
    TeleopState,
    TeleopTarget,
    tool_targets,
)
from arfm_ros.teleop.devices.phone import NAMES, PhoneDevice
from arfm_ros.teleop.hearing import Hearing

PHONE = "phone"
KINDS = (JOINTS, TWIST, PHONE)
STEP_MAX_NS = NS // 20


@dataclass(frozen=True, slots=True)
class PadConfig:
    """How fast a deflection of 1 is."""

    joint_rad_s: float = 0.4
    move_m_s: float = 0.15
    turn_rad_s: float = 0.6
    ahead_rad: float = 0.12  # a jogged joint is at most so far from the arm


class PadDevice:
    """The newest message of the page that holds the controls."""

    def __init__(self, robot: Robot, seat: Seat, config: PadConfig = PadConfig()) -> None:
        self._seat, self._config = seat, config
        self._axes = {axis.name: axis for axis in robot.group(seat.arm).axes}
        self._hearing = Hearing("the page")
        self._phone = PhoneDevice(seat)
        self._state: TeleopState | None = None
        self.trouble = ""
        self.stand_up()

    def sit(self) -> None:
        """Let another page have the seat."""
        self.stand_up()
        self._seated = True

    def stand_up(self) -> None:
        """Release the deadman; whoever sits down next has to say first that nothing is held."""
        self._hearing = Hearing("the page")
        self._phone = PhoneDevice(self._seat)
        self._seated = self._open = self._held = False
        self._press, self._over = -1, -1
        self._kind, self._rates, self._grip = "", np.zeros(6), 0.0
        self._jog: dict[str, float] = {}
        self._at: dict[str, float] = {}
        self._read_ns = 0

    @property
    def held(self) -> bool:
        """Whether a press counts now."""
        return self._held

    def hear(self, message: Mapping[str, Any], stamp_ns: int, now_ns: int) -> None:
        """Take a "drive" of the page. Raises `PageError` for one that cannot be used."""
        if not self._seated:
            return
        try:
            self._take(message, stamp_ns, now_ns)
        except PageError:
            self._end()
            raise

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return what is wanted; nothing without a press, and after a silence none counts."""
        self.trouble = ""
        if not self._held:
            return {}
        self.trouble = self._hearing.trouble(now_ns)
        if self.trouble:
            self._end()
            return {}
        if self._kind == PHONE:
            return self._phone.read(now_ns)
        stamp_ns = self._hearing.stamp_ns
        hand = TeleopTarget(RATE, np.array([self._grip]), stamp_ns)
        return tool_targets(self._seat, self._arm(stamp_ns, now_ns), hand)

    def feel(self, state: TeleopState) -> None:
        """Take where the arm is."""
        self._state = state

    def close(self) -> None:
        """Let go."""
        self.stand_up()

    def _end(self) -> None:
        """Let this press never drive again."""
        self._held, self._over = False, max(self._over, self._press)
        self._at.clear()

    def _take(self, message: Mapping[str, Any], stamp_ns: int, now_ns: int) -> None:
        held, press = message.get("held") is True, int(number_of(message, "press", 1e9))
        if not held:
            self._open, self._press = True, max(self._press, press)
            self._end()
            return
        if not self._hearing.take(stamp_ns, now_ns) or press <= self._over or not self._open:
            return
        kind = message.get("kind")
        if kind not in KINDS:
            raise PageError(f'"kind" is one of {", ".join(KINDS)}')
        if self._held and (press != self._press or kind != self._kind):
            self._end()
            if press <= self._over:
                return
        self._read(str(kind), message, stamp_ns, now_ns)
        self._held, self._press, self._kind = True, press, str(kind)

    def _read(self, kind: str, message: Mapping[str, Any], stamp_ns: int, now_ns: int) -> None:
        values = message.get("values")
        if not isinstance(values, dict):
            raise PageError('"values" is an object')
        self._grip = number_of(message, "grip", 1.0) if "grip" in message else 0.0
        if kind == PHONE:
            if not self._held:  # a touch of its own for each press
                self._phone.hear(NAMES, [0.0] * len(NAMES), stamp_ns, now_ns)
            numbers = [number_of(values, name) for name in NAMES]
            self._phone.hear(NAMES, numbers, stamp_ns, now_ns)
        elif kind == JOINTS:
            unknown = [name for name in values if name not in self._axes]
            if unknown:
                known = ", ".join(self._axes)
                raise PageError(f"no axis '{unknown[0][:40]}', the arm has: {known}")
            self._jog = {name: number_of(values, name, 1.0) for name in values}
        else:
            frame = message.get("frame", FRAMES[0])
            if frame not in FRAMES:
                raise PageError(f'"frame" is one of {", ".join(FRAMES)}')
            self._frame = str(frame)
            self._rates = np.array([number_of(values, name, 1.0) for name in TWIST_NAMES])

    def _arm(self, stamp_ns: int, now_ns: int) -> TeleopTarget | None:
        dt_s = min(max(now_ns - self._read_ns, 0), STEP_MAX_NS) / NS if self._at else 0.0
        self._read_ns = now_ns
        if self._kind == TWIST:
            speeds = [self._config.move_m_s] * 3 + [self._config.turn_rad_s] * 3
            twist = self._rates * np.array(speeds)
            return TeleopTarget(TWIST, twist, stamp_ns, frame=self._frame)
        if self._state is None:
            return None
        measured = self._state.named()
        self._at = self._at or {n: self._state.commanded()[n] for n in self._axes}
        for name, rate in self._jog.items():
            axis, before = self._axes[name], self._at[name]
            wanted = before + rate * self._config.joint_rad_s * dt_s
            near = np.clip(wanted, *(measured[name] + s * self._config.ahead_rad for s in (-1, 1)))
            low, high = min(axis.low + axis.margin, before), max(axis.high - axis.margin, before)
            self._at[name] = float(np.clip(near, low, high))
        names = tuple(self._axes)
        return TeleopTarget(JOINTS, np.array([self._at[n] for n in names]), stamp_ns, names=names)


TWIST_NAMES = ("x", "y", "z", "rx", "ry", "rz")
