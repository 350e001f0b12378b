"""The frames of the FR3's links, and whether a robot is one."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.fr3 import facts
from arfm_ros.robots.kinematics.chain import Chain
from arfm_ros.robots.robot import Robot

F64 = NDArray[np.float64]
ROBOT, ARM = "fr3", "arm"
SAME_M = 1e-4  # between the tools of two descriptions of the same arm


@cache
def chain() -> Chain:
    """Return the chain from the FR3's base to its tool."""
    return Chain(load_robot(ROBOT), ARM)


def link_transforms(position_rad: F64) -> F64:
    """Return the frames [..., 7, 4, 4] of the seven links in the base at joint angles [..., 7]."""
    return chain().frames(position_rad)


def is_arm(robot: Robot) -> bool:
    """Tell whether the only arm of a robot is an FR3 with the Franka Hand, by its description.

    Joints may have any names. A description whose links or tool are elsewhere is another arm.
    """
    first, *others = robot.groups
    if first.kind != "arm" or any(group.kind == "arm" for group in others):
        return False
    if len(first.axes) != facts.DOF or not first.tool:
        return False
    try:
        theirs = Chain(robot, first.name)
    except ConfigError:
        return False  # without a description, or one without that tool
    postures = np.array([facts.HOME, facts.POSITION_MIN_RAD, facts.POSITION_MAX_RAD])
    return _same(chain().frames(postures), theirs.frames(postures)) and _same(
        chain().forward(postures).matrix, theirs.forward(postures).matrix
    )


def _same(ours: F64, theirs: F64) -> bool:
    return ours.shape == theirs.shape and bool(np.allclose(ours, theirs, atol=SAME_M))
