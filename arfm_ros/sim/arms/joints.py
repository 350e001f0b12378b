"""Where axes of a robot are in a model: their places in positions, velocities and motors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.robot import RobotAxis
from arfm_ros.sim.arms.build import joint_name
from arfm_ros.sim.arms.plan import driven_joints

F64 = NDArray[np.float64]
Places = NDArray[np.intp]
POSTURES, SEED = 200, 0  # that the largest inertias are looked for in
REACH = np.pi  # rad or m; joints without end turn so far there


@dataclass(frozen=True, slots=True, eq=False)
class Joints:
    """Axes [N] and their driven joints: joint = stroke * axis + bias."""

    axes: tuple[RobotAxis, ...]
    q: Places  # in qpos
    v: Places  # in qvel
    u: Places  # in ctrl
    stroke: F64
    bias: F64
    # joints that follow, with theirs: place in qpos, row of the axis, k, b
    followers: tuple[tuple[int, int, float, float], ...]

    def set(self, data: mujoco.MjData, values: F64) -> None:
        """Put the joints where the axes [N] are at `values`, at rest."""
        data.qpos[self.q] = self.stroke * values + self.bias
        for place, row, k, b in self.followers:
            data.qpos[place] = k * values[row] + b
        data.qvel[self.v] = 0.0

    def position(self, data: mujoco.MjData) -> F64:
        """Return the positions of the axes [N]."""
        return np.asarray((data.qpos[self.q] - self.bias) / self.stroke)

    def velocity(self, data: mujoco.MjData) -> F64:
        """Return the velocities of the axes [N]."""
        return np.asarray(data.qvel[self.v] / self.stroke)


def find_joints(model: mujoco.MjModel, axes: Sequence[RobotAxis]) -> Joints:
    """Find the joints of axes in a model made by `build_model`."""
    driven = [driven_joints(axis) for axis in axes]
    names = [joint_name(joints[0][0]) for joints in driven]
    places = [model.joint(name) for name in names]
    return Joints(
        tuple(axes),
        np.array([int(p.qposadr[0]) for p in places], dtype=np.intp),
        np.array([int(p.dofadr[0]) for p in places], dtype=np.intp),
        np.array([int(model.actuator(name).id) for name in names], dtype=np.intp),
        np.array([joints[0][1] for joints in driven]),
        np.array([joints[0][2] for joints in driven]),
        tuple(
            (int(model.joint(joint_name(name)).qposadr[0]), row, k, b)
            for row, joints in enumerate(driven)
            for name, k, b in joints[1:]
        ),
    )


def largest_inertias(model: mujoco.MjModel, joints: Joints) -> F64:
    """Return the largest M_ii [N] of the joint-space inertia over random postures."""
    data, random = mujoco.MjData(model), np.random.default_rng(SEED)
    low = np.clip([axis.low for axis in joints.axes], -REACH, REACH)
    high = np.clip([axis.high for axis in joints.axes], -REACH, REACH)
    found, unit, column = np.zeros(len(joints.v)), np.zeros(model.nv), np.zeros(model.nv)
    for _ in range(POSTURES):
        joints.set(data, random.uniform(low, high))
        mujoco.mj_fwdPosition(model, data)
        for row, place in enumerate(joints.v):
            unit[:] = 0.0
            unit[place] = 1.0
            mujoco.mj_mulM(model, data, column, unit)
            found[row] = max(found[row], column[place])
    return found
