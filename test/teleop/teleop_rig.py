"""A robot for devices: its seat, its state, and the pilot that turns targets into positions."""

from __future__ import annotations

import numpy as np

from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.teleop.device import Seat, TeleopState, seat_of
from arfm_ros.teleop.pilot import Pilot

MS = 1_000_000
TICK_NS = 10 * MS
BEGIN_NS = 10_000 * MS
ROBOT = load_robot("fr3")
SEAT: Seat = seat_of(ROBOT)
HOME = np.array([axis.home for axis in ROBOT.axes])


def state(position: np.ndarray = HOME, command: np.ndarray | None = None) -> TeleopState:
    told = position if command is None else command
    return TeleopState(ROBOT.names, position, told, "policy")


def pilot() -> Pilot:
    return Pilot(ROBOT, lambda group: Chain(ROBOT, group))
