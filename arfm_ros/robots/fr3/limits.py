"""The FR3's published limits with a margin, as the arbiter wants them (arm and gripper)."""

from __future__ import annotations

from arfm_ros.core.safety.limits import Limits
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.fr3 import facts
from arfm_ros.robots.fr3.frames import ROBOT
from arfm_ros.robots.fr3.gains import JointGains
from arfm_ros.robots.limits import clamps_of, limits

ACTION_NAMES = (*facts.JOINT_NAMES, facts.GRIPPER_NAME)


def fr3_limits(
    margin_rad: float = 0.02,
    velocity_scale: float = 0.9,
    acceleration_scale: float = 0.6,
    tracking_rad: float = 0.5,
    controller: JointGains | None = None,
) -> Limits:
    """Return limits [8] of `fr3_joint1..7` and `gripper`, inside the published ones.

    With a `controller` joints are no faster than its clamped torque can brake and accelerate.
    """
    clamps = None
    if controller is not None:
        clamps = clamps_of(len(ACTION_NAMES), [(slice(0, facts.DOF), controller)])
    scales = (velocity_scale, acceleration_scale)
    return limits(load_robot(ROBOT), margin_rad, *scales, tracking_rad, clamps)
