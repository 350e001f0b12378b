"""Gamepads and SpaceMice: `sensor_msgs/Joy` through a map of axes and buttons.

A map that does not fit the device is named, never guessed at: an axis that the device lacks, and
one that does not rest at 0 and would pull the arm away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.teleop.config import known, one_map, one_number
from arfm_ros.teleop.deadman import Motion
from arfm_ros.teleop.device import (
    FRAMES,
    NS,
    RATE,
    TWIST,
    Seat,
    TeleopState,
    TeleopTarget,
    tool_targets,
)
from arfm_ros.teleop.hearing import Hearing

DIRECTIONS = ("x", "y", "z", "roll", "pitch", "yaw")
KEYS = ("topic", "axes", "buttons", "deadman", "tool", "gripper", "frame", "deadband", "silence_s")


@dataclass(frozen=True, slots=True)
class Lever:
    """A direction of the tool: an axis of the device, or two buttons."""

    axis: int = -1
    scale: float = 0.0  # m/s or rad/s at full deflection
    plus: int = -1
    minus: int = -1

    def deflection(self, axes: Sequence[float], buttons: Sequence[int], deadband: float) -> float:
        """Return -1..1; what lies within the deadband is 0, and it begins there without a step."""
        if self.axis < 0:
            pressed = [float(buttons[b] > 0) if b >= 0 else 0.0 for b in (self.plus, self.minus)]
            return pressed[0] - pressed[1]
        value = float(np.clip(axes[self.axis], -1.0, 1.0))
        return float(np.sign(value)) * max(0.0, abs(value) - deadband) / (1.0 - deadband)


@dataclass(frozen=True, slots=True)
class JoyMap:
    """Which axis and button does what."""

    name: str
    topic: str
    axes: int
    buttons: int
    levers: tuple[Lever, ...]  # of DIRECTIONS
    hold: int = -1  # button that is held to drive
    motion: float = 0.0  # or: deflection from which on the person drives
    open: int = -1
    close: int = -1
    rate: float = 1.0
    frame: str = FRAMES[0]
    deadband: float = 0.08
    silence_s: float = 0.08

    def misfit(self, axes: int, buttons: int) -> str:
        """Say how a device differs from what the map is for; '' where it has all that is used."""
        if axes >= self.axes and buttons >= self.buttons:
            return ""
        return (
            f"joy map '{self.name}' is for {self.axes} axes and {self.buttons} buttons, the "
            f"device has {axes} and {buttons}: choose another map (config/teleop, docs/shared.md)"
        )


def read_joy_map(name: str, given: Mapping[str, Any]) -> JoyMap:
    """Read a map; raises `ConfigError` naming the key that is wrong."""
    where = f"joy map '{name}'"
    known(given, KEYS, where)
    axes, buttons = (int(one_number(given, key, 0, where)) for key in ("axes", "buttons"))
    tool, hand = one_map(given, "tool", where), one_map(given, "gripper", where)
    known(tool, DIRECTIONS, f"{where}: tool")
    known(hand, ("open", "close", "rate"), f"{where}: gripper")
    deadman = one_map(given, "deadman", where)
    known(deadman, ("button", "motion"), f"{where}: deadman")
    if len(deadman) != 1:
        raise ConfigError(f"{where}: deadman needs one of button (held) and motion (a deflection)")
    levers = tuple(_lever(one_map(tool, key, where), f"{where}: {key}") for key in DIRECTIONS)
    frame = given.get("frame", FRAMES[0])
    if frame not in FRAMES:
        raise ConfigError(f"{where}: frame is '{frame}', needs one of: {', '.join(FRAMES)}")
    made = JoyMap(
        name=name,
        topic=str(given.get("topic", "joy")),
        axes=axes,
        buttons=buttons,
        levers=levers,
        hold=int(one_number(deadman, "button", -1, where)),
        motion=one_number(deadman, "motion", 0.0, where),
        open=int(one_number(hand, "open", -1, where)),
        close=int(one_number(hand, "close", -1, where)),
        rate=one_number(hand, "rate", 1.0, where),
        frame=frame,
        deadband=one_number(given, "deadband", 0.08, where),
        silence_s=one_number(given, "silence_s", 0.08, where),
    )
    _check(made, where)
    return made


class JoyDevice:
    """The newest Joy message as a twist of the tool and a rate of the gripper."""

    def __init__(self, joy_map: JoyMap, seat: Seat) -> None:
        self.map, self._seat = joy_map, seat
        self._hearing = Hearing(joy_map.topic, round(joy_map.silence_s * NS))
        self._motion = Motion(joy_map.motion)
        self._axes: Sequence[float] = ()
        self._buttons: Sequence[int] = ()
        self._centred = [lever.axis < 0 for lever in joy_map.levers]
        self.trouble = self._hearing.trouble(0)

    def hear(
        self, axes: Sequence[float], buttons: Sequence[int], stamp_ns: int, now_ns: int
    ) -> None:
        """Take a message; one that is late, does not fit or is not finite does not count."""
        misfit = self.map.misfit(len(axes), len(buttons))
        if not misfit and not np.isfinite(axes).all():
            misfit = f"{self.map.topic} has an axis that is not finite"
        if misfit:
            self._hearing.refused = misfit
            return
        if self._hearing.take(stamp_ns, now_ns):
            self._axes, self._buttons = axes, buttons
            for k, lever in enumerate(self.map.levers):
                self._centred[k] |= not lever.deflection(axes, buttons, self.map.deadband)

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return the twist while the person drives, and the gripper while a button moves it."""
        self.trouble = self._hearing.trouble(now_ns) or self._unrested()
        if self.trouble:
            self._motion.release()
            return {}
        deflections = [
            lever.deflection(self._axes, self._buttons, self.map.deadband)
            for lever in self.map.levers
        ]
        hand = (self._pressed(self.map.open) - self._pressed(self.map.close)) * self.map.rate
        if not self._engaged(max(map(abs, [*deflections, hand])), now_ns):
            return {}
        twist = np.array([d * lever.scale for d, lever in zip(deflections, self.map.levers)])
        stamp_ns = self._hearing.stamp_ns
        arm = TeleopTarget(TWIST, twist, stamp_ns, frame=self.map.frame)
        return tool_targets(self._seat, arm, TeleopTarget(RATE, np.array([hand]), stamp_ns))

    def feel(self, state: TeleopState) -> None:
        """Feel nothing."""

    def close(self) -> None:
        """Hold nothing."""

    def _engaged(self, deflection: float, now_ns: int) -> bool:
        if self.map.hold >= 0:
            return bool(self._pressed(self.map.hold))
        return self._motion.see(deflection, now_ns)

    def _pressed(self, button: int) -> float:
        return float(button >= 0 and self._buttons[button] > 0)

    def _unrested(self) -> str:
        """Name an axis that has never rested at 0: the map is another device's, or it is held."""
        for name, lever, centred in zip(DIRECTIONS, self.map.levers, self._centred):
            if not centred:
                return (
                    f"axis {lever.axis} ({name} of joy map '{self.map.name}') rests at "
                    f"{self._axes[lever.axis]:.2f}: let go of the stick, or choose another map"
                )
        return ""


def _lever(given: Mapping[str, Any], where: str) -> Lever:
    known(given, ("axis", "scale", "plus", "minus"), where)
    numbers = {k: int(one_number(given, k, -1, where)) for k in ("axis", "plus", "minus")}
    return Lever(scale=one_number(given, "scale", 0.0, where), **numbers)


def _check(made: JoyMap, where: str) -> None:
    """Raise `ConfigError` where the map uses what it says the device lacks."""
    buttons = [made.hold, made.open, made.close]
    buttons += [b for lever in made.levers for b in (lever.plus, lever.minus)]
    for kind, used, there in (
        ("axis", [lever.axis for lever in made.levers], made.axes),
        ("button", buttons, made.buttons),
    ):
        if max(used) >= there:
            raise ConfigError(f"{where} uses {kind} {max(used)}, but says that there are {there}")
    if not 0.0 <= made.deadband < 1.0 or not 0.02 <= made.silence_s <= 1.0:
        raise ConfigError(f"{where}: deadband needs 0..1, silence_s 0.02..1")
