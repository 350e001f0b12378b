"""A hand or a controller in space: poses with a clutch, or twists.

While the clutch is closed the tool is displaced as the hand is, from where both were when it was
closed. Opening the clutch, moving the hand and closing it again anchors anew. A hand that jumps
was lost by its tracker: it counts again after the clutch was opened and closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.poses import from_quaternions
from arfm_ros.teleop.config import known, one_number
from arfm_ros.teleop.device import (
    F64,
    FRAMES,
    NS,
    OPENING,
    POSE,
    TWIST,
    Seat,
    TeleopState,
    TeleopTarget,
    tool_targets,
)
from arfm_ros.teleop.hearing import Hearing

KEYS = (
    "topic",
    "clutch",
    "trigger",
    "twist",
    "frame_id",
    "scale",
    "speed_max",
    "frame",
    "silence_s",
)


@dataclass(frozen=True, slots=True)
class HandMap:
    """Where a hand is heard, and how its motion becomes the tool's."""

    name: str = "hand"
    topic: str = "hand/pose"  # PoseStamped; TwistStamped with `twist`
    clutch: str = "hand/clutch"  # Bool, repeated
    trigger: str = "hand/trigger"  # Float64, 0 open .. 1 closed
    twist: bool = False
    frame_id: str = "base"  # the frame that the hand's poses have to be in
    scale: float = 1.0  # of positions and linear speeds
    speed_max: float = 3.0  # m/s; a hand that is faster was lost
    frame: str = FRAMES[0]
    silence_s: float = 0.08


def read_hand_map(name: str, given: Mapping[str, Any]) -> HandMap:
    """Read a map; raises `ConfigError` naming the key that is wrong."""
    where = f"hand map '{name}'"
    known(given, KEYS, where)
    texts = {
        key: str(given.get(key, getattr(HandMap(), key)))
        for key in ("topic", "clutch", "trigger", "frame_id", "frame")
    }
    if texts["frame"] not in FRAMES:
        raise ConfigError(f"{where}: frame is '{texts['frame']}', needs one of: base, tool")
    numbers = {
        key: one_number(given, key, getattr(HandMap(), key), where)
        for key in ("scale", "speed_max", "silence_s")
    }
    return HandMap(name, twist=bool(given.get("twist", False)), **texts, **numbers)  # type: ignore[arg-type]


class HandDevice:
    """The newest pose or twist of a hand, while its clutch is closed."""

    def __init__(self, hand_map: HandMap, seat: Seat) -> None:
        self.map, self._seat = hand_map, seat
        silence_ns = round(hand_map.silence_s * NS)
        self._hearing = Hearing(hand_map.topic, silence_ns)
        self._clutch = Hearing(hand_map.clutch, silence_ns)
        self._closed, self._lost, self._count = False, False, 0
        self._anchor: F64 | None = None  # pose [4, 4] of the hand when the clutch was closed
        self._pose: F64 | None = None
        self._twist: F64 = np.zeros(6)
        self._grip: float | None = None
        self.trouble = self._hearing.trouble(0)

    def hear_pose(
        self, position: F64, quaternion: F64, frame_id: str, stamp_ns: int, now_ns: int
    ) -> None:
        """Take a pose (xyz m, xyzw) in `frame_id`."""
        pose = np.eye(4)
        if self._refused(np.concatenate([position, quaternion]), frame_id):
            return
        if not 0.5 < float(np.linalg.norm(quaternion)) < 2.0:
            self._hearing.refused = (
                f"{self.map.topic}: its quaternion has no length, tracking lost"
            )
            return
        pose[:3, :3], pose[:3, 3] = from_quaternions(quaternion), position
        before, since_ns = self._pose, stamp_ns - self._hearing.stamp_ns
        if not self._hearing.take(stamp_ns, now_ns):
            return
        self._pose = pose
        if before is not None and 0 < since_ns:
            speed = float(np.linalg.norm(pose[:3, 3] - before[:3, 3])) / (since_ns / NS)
            self._lost |= speed > self.map.speed_max and self._anchor is not None

    def hear_twist(self, twist: F64, frame_id: str, stamp_ns: int, now_ns: int) -> None:
        """Take a twist [6] in `frame_id`."""
        if not self._refused(twist, frame_id) and self._hearing.take(stamp_ns, now_ns):
            self._twist = twist

    def hear_clutch(self, closed: bool, now_ns: int) -> None:
        """Take the clutch; it has to be repeated, one that falls silent is open."""
        self._closed = closed
        self._clutch.take(now_ns, now_ns)
        if not closed:
            self._open()

    def hear_trigger(self, closed: float) -> None:
        """Take the trigger, 0 .. 1; the gripper is claimed from the first one on."""
        if np.isfinite(closed):
            self._grip = 1.0 - float(np.clip(closed, 0.0, 1.0))

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return the displacement, or the twist, while the clutch is closed."""
        lost = f"{self.map.topic} jumped: tracking was lost, open and close the clutch"
        self.trouble = self._hearing.trouble(now_ns) or (lost if self._lost else "")
        if self.trouble and self._anchor is not None:
            self._lost = True  # whatever comes back is not where it was
        if self.trouble or not self._closed or self._clutch.trouble(now_ns):
            self._anchor = None if not self._lost else self._anchor
            return {}
        stamp_ns = self._hearing.stamp_ns
        hand = None
        if self._grip is not None:
            hand = TeleopTarget(OPENING, np.array([self._grip]), stamp_ns)
        return tool_targets(self._seat, self._arm(stamp_ns), hand)

    def feel(self, state: TeleopState) -> None:
        """Feel nothing."""

    def close(self) -> None:
        """Hold nothing."""

    def _arm(self, stamp_ns: int) -> TeleopTarget:
        scale = np.array([self.map.scale] * 3 + [1.0] * 3)
        if self.map.twist or self._pose is None:
            return TeleopTarget(TWIST, self._twist * scale, stamp_ns, frame=self.map.frame)
        if self._anchor is None:
            self._anchor, self._count = self._pose.copy(), self._count + 1
        moved = displacement(self._anchor, self._pose, self.map.scale, self.map.frame)
        return TeleopTarget(POSE, moved, stamp_ns, frame=self.map.frame, clutch=self._count)

    def _open(self) -> None:
        self._anchor, self._lost = None, False

    def _refused(self, values: F64, frame_id: str) -> bool:
        topic = self.map.topic
        if frame_id.strip("/") != self.map.frame_id:
            self._hearing.refused = (
                f"{topic} is in frame '{frame_id[:60]}', needs '{self.map.frame_id}': publish it "
                "there, or set frame_id in the hand's map"
            )
            return True
        if not np.isfinite(values).all():
            self._hearing.refused = f"{topic} is not finite: tracking lost"
            return True
        return False


def displacement(anchor: F64, pose: F64, scale: float, frame: str) -> F64:
    """Return how far [4, 4] `pose` is from `anchor`, in the base's directions or the anchor's."""
    moved = np.eye(4)
    shift, turn = pose[:3, 3] - anchor[:3, 3], pose[:3, :3] @ anchor[:3, :3].T
    if frame != FRAMES[0]:
        shift, turn = anchor[:3, :3].T @ shift, anchor[:3, :3].T @ pose[:3, :3]
    moved[:3, :3], moved[:3, 3] = turn, scale * shift
    return moved
