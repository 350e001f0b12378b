"""Object poses as numbers of a policy's state, for policies that see no images.

A number is called `<object>_<axis>`. Positions are the object's minus the tool's, along the axes
of the base; the yaw is the object's own. An object that is not in the scene reads 0 throughout.
The tool is that of the arm whose joints come first in the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import F32
from arfm_ros.robots.embodiment import DEFAULT
from arfm_ros.robots.files.load import load_robot, robot_names
from arfm_ros.robots.kinematics.chain import Chain

F64 = NDArray[np.float64]
AXES = {"x": "m", "y": "m", "z": "m", "yaw": "rad"}  # axis -> unit
ABSENT_BELOW_M = -0.5  # the simulator keeps under the floor what an episode does not use


def object_of(name: str) -> tuple[str, str]:
    """Split `cube_yaw` into the object and the axis. Raises `ConfigError` for another form."""
    what, _, axis = name.rpartition("_")
    if not what or axis not in AXES:
        raise ConfigError(
            f"'{name}' is no number of an object: needs <object>_<axis>, axis {', '.join(AXES)}"
        )
    return what, axis


@cache
def seen_from(axes: tuple[str, ...]) -> Chain:
    """Return the chain to the tool that objects are seen from, for a state of these axes.

    Raises `ConfigError` for a state that begins with the joints of no arm of config/robots.
    """
    for name in (DEFAULT, *robot_names()):
        robot = load_robot(name)
        arm = robot.groups[0]
        if arm.kind == "arm" and arm.tool and axes[: len(arm.axes)] == arm.names:
            return Chain(robot, arm.name)
    raise ConfigError(
        "objects are seen from an arm's tool, and with the joints of no arm of config/robots does "
        f"the state begin: {', '.join(axes) or 'none'}"
    )


def object_state(
    names: Sequence[str],
    state: NDArray[np.floating],
    axes: Sequence[str],
    poses: Mapping[str, F64],
) -> F32:
    """Compute the numbers [T, len(names)] at states [T, S] that begin with the arm's joints.

    `axes` [S] names the state; `poses` maps an object to positions and quaternions xyzw [T, 7] in
    the base. Raises `ConfigError` that lists the objects there are for one that is not among
    them, and for a state that begins with no known arm.
    """
    wanted = [object_of(name) for name in names]
    unknown = sorted({what for what, _ in wanted} - set(poses))
    if unknown:
        have = ", ".join(poses) or "none"
        raise ConfigError(f"no pose of {', '.join(unknown)}; there are poses of: {have}")
    chain = seen_from(tuple(axes))
    tool = chain.forward(np.asarray(state, np.float64)[:, : len(chain.axes)]).position
    columns = [_axis(poses[what], axis, tool) for what, axis in wanted]
    return np.stack(columns, axis=1).astype(np.float32)


def _axis(pose: F64, axis: str, tool: F64) -> F64:
    present = pose[:, 2] > ABSENT_BELOW_M
    if axis == "yaw":
        x, y, z, w = pose[:, 3:].T
        value = np.arctan2(2 * (x * y + z * w), 1 - 2 * (y * y + z * z))
    else:
        at = "xyz".index(axis)
        value = pose[:, at] - tool[:, at]
    return np.where(present, value, 0.0)
