"""From what a device wants of each group to joint targets by axis name.

The first target of an engagement is the command in force, so that taking over moves nothing. What
a device does not name is not claimed: a gripper only from the first time that it is moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from arfm_ros.core.errors import SafetyError
from arfm_ros.robots.robot import Group, Robot
from arfm_ros.teleop.cartesian import ArmKinematics, CartesianConfig, CartesianDrive
from arfm_ros.teleop.device import (
    F64,
    JOINTS,
    NS,
    OPENING,
    POSE,
    RATE,
    SHAPES,
    TWIST,
    TeleopState,
    TeleopTarget,
)

STEP_MAX_NS = NS // 20
USUAL = CartesianConfig()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Joint targets by axis; engaged where any group is; `stamp_ns` is the oldest target's."""

    positions: Mapping[str, float] = field(default_factory=dict)
    engaged: bool = False
    stamp_ns: int = 0
    note: str = ""  # why it is refused, or what holds it back


NOTHING = Wanted()
FIRST_STEP_NS = NS // 100  # a twist moves by so long at once, or its first target is a rest


class Pilot:
    """Keeps, for each group, where its target is now."""

    def __init__(
        self,
        robot: Robot,
        kinematics: Callable[[str], ArmKinematics],
        config: CartesianConfig = USUAL,
    ) -> None:
        self._robot, self._kinematics, self._config = robot, kinematics, config
        self._groups = {group.name: group for group in robot.groups}
        self._drives: dict[str, CartesianDrive] = {}
        self._clutches: dict[str, int] = {}
        self._openings: dict[str, float] = {}
        self._driving: set[str] = set()
        self._at_ns = 0

    def follow(
        self, targets: Mapping[str, TeleopTarget], state: TeleopState, now_ns: int
    ) -> Wanted:
        """Return what to publish now; a target that cannot be used releases the deadman."""
        engaged = {group: one for group, one in targets.items() if one.engaged}
        for group in self._driving - set(engaged):
            self._openings.pop(group, None)
        fresh = set(engaged) - self._driving
        self._driving = set(engaged)
        dt_s = min(max(now_ns - self._at_ns, 0), STEP_MAX_NS) / NS
        self._at_ns = now_ns
        if not engaged:
            return NOTHING
        positions: dict[str, float] = {}
        try:
            for group, target in engaged.items():
                self._check(group, target)
                if group in fresh:
                    self._begin(self._groups[group], target, state, now_ns)
                positions |= self._positions(group, target, state, (now_ns, dt_s))
        except SafetyError as error:
            self._driving.clear()
            return Wanted(note=str(error))
        notes = [d.note for g, d in self._drives.items() if g in engaged and d.note]
        oldest = min(one.stamp_ns for one in engaged.values())
        return Wanted(positions, True, oldest, "; ".join(notes))

    def release(self) -> None:
        """Forget who drives what."""
        self._driving.clear()
        self._openings.clear()

    def _check(self, group: str, target: TeleopTarget) -> None:
        if group not in self._groups:
            known = ", ".join(self._groups)
            raise SafetyError(f"the device drives group '{group}', the robot has: {known}")
        wrong = [name for name in target.names if name not in self._robot.names]
        if wrong or (target.kind == JOINTS and not target.names):
            raise SafetyError(
                f"the device names {', '.join(wrong) or 'nothing'}, the robot has: "
                f"{', '.join(self._robot.names)}"
            )
        needed = SHAPES.get(target.kind, (len(target.names),))
        if target.values.shape != needed:
            raise SafetyError(f"{target.kind} has shape {target.values.shape}, needs {needed}")
        if not np.isfinite(target.values).all():
            raise SafetyError(f"the device's {target.kind} of group {group} is not finite")

    def _begin(self, group: Group, target: TeleopTarget, state: TeleopState, now_ns: int) -> None:
        if target.kind in {TWIST, POSE}:
            if group.name not in self._drives:
                made = CartesianDrive(self._kinematics(group.name), self._config)
                self._drives[group.name] = made
            command = _of(group, state.names, state.command)
            self._drives[group.name].begin(command, now_ns - FIRST_STEP_NS)
            self._clutches[group.name] = target.clutch

    def _positions(
        self, group: str, target: TeleopTarget, state: TeleopState, when: tuple[int, float]
    ) -> dict[str, float]:
        if target.kind == JOINTS:
            return dict(zip(target.names, target.values.tolist()))
        if target.kind in {OPENING, RATE}:
            return self._opening(group, target, state, when[1])
        names = self._groups[group].names
        measured = _of(self._groups[group], state.names, state.position)
        drive = self._drives[group]
        if target.kind == TWIST:
            q = drive.twist(target.values, target.frame, measured, when[0])
        else:
            if self._clutches[group] != target.clutch:
                self._clutches[group] = target.clutch
                drive.anchor()
            q = drive.pose(target.values, target.frame, measured, when[0])
        return dict(zip(names, q.tolist()))

    def _opening(
        self, group: str, target: TeleopTarget, state: TeleopState, dt_s: float
    ) -> dict[str, float]:
        axis, value = self._groups[group].axes[0], float(target.values[0])
        if target.kind == RATE:
            if group not in self._openings and value == 0.0:
                return {}  # nobody has moved it yet
            begin = state.commanded()[axis.name]
            value = self._openings.get(group, begin) + value * dt_s * (axis.high - axis.low)
        else:
            value = axis.low + value * (axis.high - axis.low)
        self._openings[group] = float(np.clip(value, axis.low, axis.high))
        return {axis.name: self._openings[group]}


def _of(group: Group, names: tuple[str, ...], values: F64) -> F64:
    """Pick a group's part of a vector of all axes."""
    begin = names.index(group.names[0])
    return values[begin : begin + len(group.names)]
