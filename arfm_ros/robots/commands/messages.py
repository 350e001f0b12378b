"""The interfaces that controllers listen to, and how plain values go into their messages."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.commands.graph import ControllerInfo

F64 = NDArray[np.float64]
NS = 1_000_000_000
Interface = Callable[[str], Any]  # "package/msg/Type" -> class, such as `nodes.topics.interface`

JOINT_STATE: Final = "sensor_msgs/msg/JointState"
POSE_STAMPED: Final = "geometry_msgs/msg/PoseStamped"
JOINT_TRAJECTORY: Final = "trajectory_msgs/msg/JointTrajectory"
FLOAT64_ARRAY: Final = "std_msgs/msg/Float64MultiArray"


def controllers_of(response: Any) -> tuple[ControllerInfo, ...]:
    """Read a response of controller_manager_msgs/srv/ListControllers; parameters stay unknown."""
    return tuple(ControllerInfo(one.name, one.type, one.state) for one in response.controller)


def doubles(values: F64) -> array[float]:
    """Return values [N] as a message wants them."""
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def set_time(field: Any, ns: int) -> None:
    """Set a stamp or a duration."""
    field.sec, field.nanosec = divmod(ns, NS)
