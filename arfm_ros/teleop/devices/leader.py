"""A leader arm (GELLO and the like): its JointState, calibrated, becomes joint targets.

`value = scale * leader + offset`, for every joint by name; a joint that is missing or that nobody
knows is named and nothing is driven: a target never means "stay" for a joint that it forgot. When
the person takes over, the arm comes slowly to where the leader is, and follows it from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.teleop.approach import Approach
from arfm_ros.teleop.config import known, one_map, one_number
from arfm_ros.teleop.deadman import Motion
from arfm_ros.teleop.device import F64, JOINTS, NS, Seat, TeleopState, TeleopTarget
from arfm_ros.teleop.hearing import Hearing

KEYS = ("topic", "joints", "deadman", "align", "effort", "silence_s")
JOINT_KEYS = ("axis", "scale", "offset")


@dataclass(frozen=True, slots=True)
class LeaderMap:
    """Which joint of the leader is which axis of the robot, and how much of it."""

    name: str
    topic: str
    joints: tuple[str, ...]
    axes: tuple[str, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    pedal: str = ""  # topic of a Bool that is true while the person drives
    motion: float = 0.0  # or: so far from where the leader rested, rad
    align_speed: float = 0.4  # rad/s towards the leader when the person takes over
    effort_gain: float = 0.0  # Nm/rad that pull the leader to where the arm is; 0: none
    effort_max: float = 0.5  # Nm
    silence_s: float = 0.08


def read_leader_map(name: str, given: Mapping[str, Any], seat: Seat) -> LeaderMap:
    """Read a map; raises `ConfigError` for an axis that is there twice or that the robot lacks."""
    where = f"leader map '{name}'"
    known(given, KEYS, where)
    rows = _rows(given, where)
    axes = tuple(str(row.get("axis", joint)) for joint, row in rows.items())
    _check_axes(axes, seat, where)
    deadman, align = one_map(given, "deadman", where), one_map(given, "align", where)
    known(deadman, ("topic", "motion"), f"{where}: deadman")
    if len(deadman) != 1:
        raise ConfigError(f"{where}: deadman needs one of topic (of a Bool) and motion (rad)")
    known(align, ("speed",), f"{where}: align")
    effort = one_map(given, "effort", where)
    known(effort, ("gain", "max"), f"{where}: effort")
    each = {
        key: tuple(one_number(row, key, default, f"{where}: {j}") for j, row in rows.items())
        for key, default in (("scale", 1.0), ("offset", 0.0))
    }
    return LeaderMap(
        name,
        str(given.get("topic", "leader/joint_states")),
        tuple(rows),
        axes,
        each["scale"],
        each["offset"],
        pedal=str(deadman.get("topic", "")),
        motion=one_number(deadman, "motion", 0.0, where),
        align_speed=one_number(align, "speed", 0.4, where),
        effort_gain=one_number(effort, "gain", 0.0, where),
        effort_max=one_number(effort, "max", 0.5, where),
        silence_s=one_number(given, "silence_s", 0.08, where),
    )


def _rows(given: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    joints = one_map(given, "joints", where)
    rows = {str(joint): one_map(joints, joint, f"{where}: joints") for joint in joints}
    for joint, row in rows.items():
        known(row, JOINT_KEYS, f"{where}: {joint}")
    return rows


def _check_axes(axes: Sequence[str], seat: Seat, where: str) -> None:
    wrong = [axis for axis in axes if axis not in seat.names]
    if wrong or not axes or len(set(axes)) < len(axes):
        raise ConfigError(
            f"{where} moves {', '.join(wrong or axes) or 'nothing'}; each of these may be there "
            f"once: {', '.join(seat.names)}"
        )


class LeaderDevice:
    """The newest joint state of the leader as joint targets of the robot's axes."""

    def __init__(self, leader_map: LeaderMap, seat: Seat) -> None:
        self.map, self._seat = leader_map, seat
        silence_ns = round(leader_map.silence_s * NS)
        self._hearing = Hearing(leader_map.topic, silence_ns)
        self._pedal = Hearing(leader_map.pedal, silence_ns)
        self._pressed, self._motion = False, Motion(leader_map.motion)
        self._raw: F64 = np.zeros(len(leader_map.joints))
        self._rested: F64 | None = None
        self._approach = Approach(leader_map.align_speed)
        self._state: TeleopState | None = None
        self.trouble = self._hearing.trouble(0)

    @property
    def aligned(self) -> bool:
        """Whether the arm has come to where the leader is, since the person took over."""
        return self._approach.arrived

    def hear(
        self, names: Sequence[str], positions: Sequence[float], stamp_ns: int, now_ns: int
    ) -> None:
        """Take a joint state; one of other joints, or one that is not finite, does not count."""
        found = dict(zip(names, positions))
        wrong = misfit(self.map, found, len(names), len(positions))
        if wrong:
            self._hearing.refused = wrong
        elif self._hearing.take(stamp_ns, now_ns):
            self._raw = np.array([found[joint] for joint in self.map.joints])

    def press(self, pressed: bool, now_ns: int) -> None:
        """Take the pedal; it has to be repeated, one that falls silent is released."""
        self._pressed = pressed
        self._pedal.take(now_ns, now_ns)

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return the targets of all mapped axes while the person drives."""
        self.trouble = self._hearing.trouble(now_ns)
        if self.trouble:
            self._motion.release()
            self._rested = None  # where it is when it comes back is where it rests
        if self.trouble or not self._engaged(now_ns):
            self._approach.forget()
            return {}
        wanted = np.array(self.map.scale) * self._raw + np.array(self.map.offset)
        start = None if self._state is None else self._state.commanded()
        begin = wanted if start is None else np.array([start[a] for a in self.map.axes])
        position = self._approach.towards(wanted, begin, now_ns)
        target = TeleopTarget(JOINTS, position, self._hearing.stamp_ns, names=self.map.axes)
        return {self._seat.arm: target}

    def feel(self, state: TeleopState) -> None:
        """Remember where the arm is: to begin there, and to pull the leader towards it."""
        self._state = state

    def effort(self) -> dict[str, float]:
        """Return the effort of each leader joint, Nm; nothing where it takes none.

        It pulls the leader to where the arm is: what the arm cannot follow is felt.
        """
        if not self.map.effort_gain or self._state is None or not self._approach.begun:
            return {}
        measured, found = self._state.named(), {}
        for joint, axis, raw, scale, offset in zip(
            self.map.joints, self.map.axes, self._raw, self.map.scale, self.map.offset
        ):
            error = (measured[axis] - offset) / scale - float(raw) if scale else 0.0
            bound = self.map.effort_max
            found[joint] = float(np.clip(self.map.effort_gain * error, -bound, bound))
        return found

    def close(self) -> None:
        """Hold nothing."""

    def _engaged(self, now_ns: int) -> bool:
        if self.map.pedal:
            return self._pressed and not self._pedal.trouble(now_ns)
        if self._rested is None:
            self._rested = self._raw.copy()
        moved = float(np.abs(self._raw - self._rested).max())
        if moved > self._motion.threshold:
            self._rested = self._raw.copy()  # rest is measured from where it stays
        return self._motion.see(moved, now_ns)


def misfit(leader_map: LeaderMap, found: Mapping[str, float], names: int, positions: int) -> str:
    """Say what is wrong with a leader's joint state; '' where it fits the map."""
    topic = leader_map.topic
    if names != positions:
        return f"{topic} names {names} joints but has {positions} positions"
    missing = [joint for joint in leader_map.joints if joint not in found]
    if missing:
        return (
            f"{topic} lacks {', '.join(missing)} of leader map '{leader_map.name}', it has: "
            f"{', '.join(found) or 'nothing'}: another leader arm needs another map"
        )
    wild = [joint for joint in leader_map.joints if not isfinite(found[joint])]
    return f"{topic}: {', '.join(wild)} is not finite" if wild else ""
