"""A phone in the hand: a thumb on its screen is the deadman, dragging moves the tool, turning the
phone turns it.

The page publishes one message, a JointState on `teleop/phone` by these names: `touch` (1 while the
thumb is down), `x`, `y` (drag since the touch began, in widths of the screen, right and up),
`z` (a second slider, -1..1), `qx qy qz qw` (orientation of the phone), `opening` (0..1; left out:
the gripper is not claimed). A page that is left, or loses its connection, falls silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arfm_ros.robots.poses import from_quaternions
from arfm_ros.teleop.device import (
    F64,
    OPENING,
    POSE,
    Seat,
    TeleopState,
    TeleopTarget,
    tool_targets,
)
from arfm_ros.teleop.devices.hand import displacement
from arfm_ros.teleop.hearing import Hearing

NAMES = ("touch", "x", "y", "z", "qx", "qy", "qz", "qw")
TOPIC = "teleop/phone"


@dataclass(frozen=True, slots=True)
class PhoneMap:
    """How far the tool goes."""

    metres: float = 0.30  # for a drag over the whole width
    lift_m: float = 0.20  # for the whole slider


class PhoneDevice:
    """The newest message of the phone's page as a displacement of the tool."""

    def __init__(self, seat: Seat, phone_map: PhoneMap = PhoneMap()) -> None:
        self._seat, self._map = seat, phone_map
        self._hearing = Hearing(TOPIC)
        self._touch, self._count = False, 0
        self._anchor: F64 = np.eye(4)
        self._pose: F64 = np.eye(4)
        self._opening: float | None = None
        self.trouble = self._hearing.trouble(0)

    def hear(
        self, names: Sequence[str], values: Sequence[float], stamp_ns: int, now_ns: int
    ) -> None:
        """Take a message; one that lacks a value, or is not finite, does not count."""
        found = dict(zip(names, values))
        missing = [name for name in NAMES if name not in found]
        if missing or not np.isfinite(list(found.values())).all():
            wrong = f"lacks {', '.join(missing)}" if missing else "is not finite"
            self._hearing.refused = f"{TOPIC} {wrong}"
            return
        if not self._hearing.take(stamp_ns, now_ns):
            return
        pose, quaternion = np.eye(4), np.array([found[f"q{one}"] for one in "xyzw"])
        if np.linalg.norm(quaternion) > 0.5:
            pose[:3, :3] = from_quaternions(quaternion)
        forward, left = found["y"] * self._map.metres, -found["x"] * self._map.metres
        pose[:3, 3] = forward, left, found["z"] * self._map.lift_m
        before, self._touch, self._pose = self._touch, found["touch"] > 0.5, pose
        if self._touch and not before:
            self._anchor, self._count = pose.copy(), self._count + 1
        opening = found.get("opening")
        self._opening = None if opening is None else float(np.clip(opening, 0.0, 1.0))

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return the displacement since the touch began; nothing without a touch."""
        self.trouble = self._hearing.trouble(now_ns)
        if self.trouble:
            self._touch = False  # a page that comes back has to be touched anew
        if not self._touch:
            return {}
        stamp_ns = self._hearing.stamp_ns
        moved = displacement(self._anchor, self._pose, 1.0, "base")
        arm = TeleopTarget(POSE, moved, stamp_ns, clutch=self._count)
        hand = None
        if self._opening is not None:
            hand = TeleopTarget(OPENING, np.array([self._opening]), stamp_ns)
        return tool_targets(self._seat, arm, hand)

    def feel(self, state: TeleopState) -> None:
        """Feel nothing."""

    def close(self) -> None:
        """Hold nothing."""
