"""What every device has in common: what it wants of a group, what it may feel, three methods.

Times are of the steady clock; `stamp_ns` is when the *device* saw what the person did, so that a
message that was late on its way is late here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]
NS = 1_000_000_000
JOINTS, TWIST, POSE, OPENING, RATE = "joints", "twist", "pose", "opening", "rate"
SHAPES = {TWIST: (6,), POSE: (4, 4), OPENING: (1,), RATE: (1,)}
BASE, TOOL = "base", "tool"
FRAMES = (BASE, TOOL)
SILENCE_NS = 80_000_000  # a deadman is released within 100 ms: this and two periods of the node


@dataclass(frozen=True, slots=True, eq=False)
class TeleopTarget:
    """What a device wants of one group; `engaged` is its deadman.

    `values`: of `joints` [J] axis positions; of `twist` [6] m/s and rad/s; of `pose` [4, 4] how
    far the tool is displaced since the clutch was closed; of `opening` [1] 0 closed .. 1 open;
    of `rate` [1] openings per second.
    """

    kind: str
    values: F64
    stamp_ns: int
    engaged: bool = True
    names: tuple[str, ...] = ()  # of the axes, for `joints`
    frame: str = BASE  # whose directions `twist` and `pose` are in
    clutch: int = 0  # counts how often the clutch was closed: a new number anchors anew


@dataclass(frozen=True, slots=True, eq=False)
class TeleopState:
    """What the robot measures and was last told, for devices that feel or have to align."""

    names: tuple[str, ...]
    position: F64  # [A] measured
    command: F64  # [A] last sent; measured where nobody commands
    authority: str = ""
    stamp_ns: int = 0
    task: Mapping[str, str] = field(default_factory=dict)  # of a simulation: where things lie

    def named(self) -> dict[str, float]:
        """Return axis -> measured position."""
        return dict(zip(self.names, self.position.tolist()))

    def commanded(self) -> dict[str, float]:
        """Return axis -> commanded position."""
        return dict(zip(self.names, self.command.tolist()))


@dataclass(frozen=True, slots=True)
class Seat:
    """Which part of a robot a device with one hand drives; "": the robot has none."""

    arm: str
    gripper: str
    names: tuple[str, ...]  # of all axes of the robot
    opening: str = ""  # axis of the gripper


class TeleopDevice(Protocol):
    """A device; `trouble` says why it does not drive, '' where nothing is wrong."""

    trouble: str

    def read(self, now_ns: int) -> Mapping[str, TeleopTarget]:
        """Return what is wanted now, by group; a group that is not named is not claimed."""

    def feel(self, state: TeleopState) -> None:
        """Take what the robot does: for force feedback, for alignment."""

    def close(self) -> None:
        """Give back what the device holds."""


def seat_of(robot: Robot, arm: str = "") -> Seat:
    """Return the seat at an arm ("": the first), with the gripper that is nearest behind it."""
    arms = [group for group in robot.groups if group.kind == "arm"]
    if not arms:
        raise ConfigError(f"robot '{robot.name}' has no group of kind arm to drive")
    if arm and arm not in [group.name for group in arms]:
        known = ", ".join(group.name for group in arms)
        raise ConfigError(f"group is '{arm}', robot '{robot.name}' has the arms: {known}")
    chosen = next(group for group in arms if arm in {"", group.name})
    after = robot.groups[robot.groups.index(chosen) + 1 :]
    nearest = [g for g in after if g.kind == "gripper"] or [
        g for g in robot.groups if g.kind == "gripper"
    ]
    hand = nearest[0] if nearest else None
    return Seat(
        chosen.name,
        "" if hand is None else hand.name,
        robot.names,
        "" if hand is None else hand.axes[0].name,
    )


def tool_targets(
    seat: Seat, arm: TeleopTarget | None, hand: TeleopTarget | None
) -> dict[str, TeleopTarget]:
    """Return the targets of a seat by group; a hand that the robot lacks is left out."""
    found = {} if arm is None else {seat.arm: arm}
    if hand is not None and seat.gripper:
        found[seat.gripper] = hand
    return found
