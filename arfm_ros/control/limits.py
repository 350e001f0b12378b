"""The FR3's published limits with a margin, as the arbiter wants them (arm and gripper)."""

from __future__ import annotations

import numpy as np

from arfm_ros.control import fr3
from arfm_ros.control.crisp_gains import JointGains
from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.limits import Limits, Slowdown
from arfm_ros.robots.limits import STOP_S

ACTION_NAMES = (*fr3.JOINT_NAMES, fr3.GRIPPER_NAME)
# The gripper moves at its own speed; its command only has to be free of steps.
GRIPPER_VELOCITY = 5.0  # per second, of the full stroke
GRIPPER_ACCELERATION = 200.0


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
    for name, scale in (("velocity", velocity_scale), ("acceleration", acceleration_scale)):
        if not 0.0 < scale <= 1.0:
            raise ConfigError(f"{name}_scale is {scale}, needs to be in (0, 1]")
    speeds = np.asarray(fr3.VELOCITY_MAX_RAD_S) * velocity_scale
    accelerations = np.asarray(fr3.ACCELERATION_MAX_RAD_S2) * acceleration_scale
    if controller is not None:
        speeds = np.minimum(speeds, controller.speed_max())
        accelerations = np.minimum(accelerations, controller.acceleration_max())
    speeds = np.minimum(speeds, STOP_S * accelerations)
    together = None
    if controller is not None:
        together = np.zeros((fr3.DOF + 1, fr3.DOF + 1))
        together[:-1, :-1] = controller.together()
    return Limits(
        names=ACTION_NAMES,
        low=np.append(np.asarray(fr3.POSITION_MIN_RAD) + margin_rad, 0.0),
        high=np.append(np.asarray(fr3.POSITION_MAX_RAD) - margin_rad, 1.0),
        velocity=np.append(speeds, GRIPPER_VELOCITY),
        acceleration=np.append(accelerations, GRIPPER_ACCELERATION),
        tracking=np.append(np.full(fr3.DOF, tracking_rad), np.inf),
        chunk_tolerance=np.append(np.full(fr3.DOF, 0.1), 0.5),
        slowdown=Slowdown(
            low=np.append(fr3.SLOWDOWN_MIN_RAD, 0.0),
            high=np.append(fr3.SLOWDOWN_MAX_RAD, 1.0),
            offset=np.append(fr3.SLOWDOWN_OFFSET_RAD_S, 0.0),
            deceleration=np.append(fr3.SLOWDOWN_DECELERATION_RAD_S2, np.inf),
        ).scaled(velocity_scale),
        together=together,
    )
