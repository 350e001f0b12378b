"""The simulated FR3: its part of the MuJoCo state, and the controllers that drive its motors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import SafetyError
from arfm_ros.robots.commands.values import JointTarget, PoseTarget
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.fr3.gains import TUNED, TUNED_TORQUE
from arfm_ros.sim.controllers.impedance import (
    CartesianImpedance,
    JointImpedance,
    TorqueSaturation,
    rotation_from_quaternion,
)

F64 = NDArray[np.float64]
PERIOD_S = 0.001
FINGER_TRAVEL_M = fr3.GRIPPER_WIDTH_M / 2
# How far the finger setpoint may run ahead of the finger: the motor is at its force limit there
# (70 N / 8000 N/m), and a larger lead would only delay the next opening.
FINGER_LEAD_M = 0.009


@dataclass(frozen=True, slots=True)
class RobotState:
    """What the robot reports about itself."""

    position: F64  # [7] rad
    velocity: F64  # [7] rad/s
    effort: F64  # [7] Nm, gravity included
    gripper: float  # 0 closed .. 1 open
    stamp_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class GroupState:
    """What a group measures, in the numbers and the order of its axes [N]."""

    position: F64
    velocity: F64
    effort: F64


class Robot:
    """Arm and hand in one MuJoCo model; `control` is called once every physics step."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self.position, self.velocity = data.qpos[: fr3.DOF], data.qvel[: fr3.DOF]  # views
        self._bias = data.qfrc_bias[: fr3.DOF]
        self._fingers = data.qpos[fr3.DOF : fr3.DOF + 2]
        self.torque = data.ctrl[: fr3.DOF]
        self._ctrl = data.ctrl
        self._tool = model.site("tool").id
        self._tool_position = data.site_xpos[self._tool]
        self._tool_rotation = data.site_xmat[self._tool].reshape(3, 3)
        self._jacobian = np.zeros((6, model.nv))
        self._arm_jacobian = np.zeros((6, fr3.DOF))
        self._asked = np.zeros(fr3.DOF)
        self.joint, self.cartesian, self.guard = (
            JointImpedance(TUNED),
            CartesianImpedance(),
            TorqueSaturation(TUNED_TORQUE),
        )
        self.cartesian_active = False
        self._finger_goal_m = FINGER_TRAVEL_M
        self._finger_setpoint_m = FINGER_TRAVEL_M

    def start(self, arm_rad: Sequence[float] | F64 | None) -> F64:
        """Return the start [7] that is meant (None: home); raise SafetyError for a bad one."""
        return finite("arm position", fr3.HOME if arm_rad is None else arm_rad, fr3.DOF)

    def reset(self, arm_rad: Sequence[float] | F64, gripper: float) -> None:
        """Put the arm at rest; call `hold` after the kinematics were computed."""
        self.position[:] = arm_rad
        self.velocity[:] = 0.0
        self._fingers[:] = FINGER_TRAVEL_M * gripper
        self._finger_goal_m = self._finger_setpoint_m = FINGER_TRAVEL_M * gripper
        self.guard.previous[:] = 0.0
        self.cartesian.wrench[:] = 0.0
        self.cartesian_active = False

    def hold(self) -> None:
        """Make the measured state the target of both controllers."""
        self.joint.position[:] = self.position
        self.joint.velocity[:] = self.velocity  # as on_activate has it
        self.cartesian.position[:] = self._tool_position
        self.cartesian.rotation[:] = self._tool_rotation
        self.cartesian.posture[:] = self.position

    def control(self) -> None:
        """Compute the motor commands of this millisecond from the current state."""
        if self.cartesian_active:
            jacobian = self.tool_jacobian()
            state, pose = (
                (self.position, self.velocity),
                (self._tool_position, self._tool_rotation),
            )
            self.cartesian.torque(state, pose, jacobian, self._asked)
        else:
            self.joint.torque(self.position, self.velocity, self._asked)
        self.guard.limit(self._asked, self.position, self._bias, self.torque)
        self._ctrl[fr3.DOF] = self._next_finger_setpoint()

    def _next_finger_setpoint(self) -> float:
        step = 0.5 * fr3.GRIPPER_SPEED_MAX_M_S * PERIOD_S
        finger = float(self._fingers[0])
        goal, setpoint = self._finger_goal_m, self._finger_setpoint_m
        setpoint += min(max(goal - setpoint, -step), step)
        setpoint = min(max(setpoint, finger - FINGER_LEAD_M), finger + FINGER_LEAD_M)
        self._finger_setpoint_m = setpoint
        return setpoint

    def command_joints(
        self, position: Sequence[float] | F64, velocity: Sequence[float] | F64
    ) -> None:
        """Select joint impedance with these targets [7] rad, [7] rad/s."""
        target = finite("joint position target", position, fr3.DOF)
        speed = finite("joint velocity target", velocity, fr3.DOF)
        self.joint.position[:], self.joint.velocity[:] = target, speed
        self.cartesian_active = False

    def command_pose(
        self, position: Sequence[float] | F64, quaternion: Sequence[float] | F64
    ) -> None:
        """Select Cartesian impedance with a tool target: position [3] m, quaternion xyzw [4]."""
        target = finite("tool position target", position, 3)
        turn = finite("tool quaternion target", quaternion, 4)
        if not np.linalg.norm(turn) > 1e-6:
            raise SafetyError(
                f"tool quaternion target is {turn.tolist()}, needs to be of length 1"
            )
        if not self.cartesian_active:
            self.cartesian.posture[:] = self.position
        self.cartesian.position[:] = target
        self.cartesian.rotation[:] = rotation_from_quaternion(turn)
        self.cartesian_active = True

    def command_posture(self, position: Sequence[float] | F64) -> None:
        """Set the joint positions [7] that the null space of Cartesian impedance prefers."""
        self.cartesian.posture[:] = finite("posture target", position, fr3.DOF)

    def command_wrench(self, wrench: Sequence[float] | F64) -> None:
        """Set the wrench [6] N, Nm in the base frame that Cartesian impedance adds."""
        self.cartesian.wrench[:] = finite("wrench target", wrench, 6)

    def command_gripper(self, opening: float) -> None:
        """Set the goal of the fingers: 0 closed .. 1 open; values beyond are clipped."""
        (value,) = finite("gripper target", (opening,), 1)
        self._finger_goal_m = FINGER_TRAVEL_M * min(max(float(value), 0.0), 1.0)

    def command_stiffness(self, stiffness: Sequence[float] | F64) -> None:
        """Set the Cartesian stiffness [6] N/m, Nm/rad; none may be negative."""
        values = finite("stiffness", stiffness, 6)
        if np.any(values < 0.0):
            raise SafetyError(f"stiffness is {values.tolist()}, none may be negative")
        self.cartesian.set_stiffness(values)

    def command(self, position: F64, velocity: F64) -> None:
        """Select joint impedance and set all targets [8], the gripper's last."""
        self.command_joints(position[: fr3.DOF], velocity[: fr3.DOF])
        self.command_gripper(float(position[fr3.DOF]))

    def open(self, opening: float) -> None:
        """Set the goal of the fingers."""
        self.command_gripper(opening)

    def receive(self, group: str, value: Any) -> str:
        """Take a message of a group's controller; return '' or why it is refused."""
        try:
            if isinstance(value, JointTarget):
                self.command_joints(value.position, value.velocity)
            elif isinstance(value, PoseTarget):
                self.command_pose(value.position, value.quaternion_xyzw)
            else:
                self.command_gripper(finite("gripper target", value.data, 1)[0])
        except SafetyError as error:
            return str(error)
        return ""

    def tool_jacobian(self) -> F64:
        """Return the tool's Jacobian [6, 7] in the base, linear rows first (a reused array)."""
        jacobian = self._jacobian
        mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._tool)
        self._arm_jacobian[:] = jacobian[:, : fr3.DOF]
        return self._arm_jacobian

    def tool_pose(self, group: str = "arm") -> tuple[F64, F64]:
        """Return position [3] and rotation [3, 3] of the tool in the base."""
        return self._tool_position.copy(), self._tool_rotation.copy()

    def tool_twist(self, group: str = "arm") -> F64:
        """Return linear and angular velocity [6] of the tool in the base."""
        return np.asarray(self.tool_jacobian() @ self.velocity)

    def measured(self) -> F64:
        """Return joint angles and the opening [8]."""
        state = self.report(0)
        return np.append(state.position, state.gripper)

    def state(self, group: str) -> GroupState:
        """Return what the group `arm` or `gripper` measures."""
        state = self.report(0)
        if group == "arm":
            return GroupState(state.position, state.velocity, state.effort)
        return GroupState(np.array([state.gripper]), np.zeros(1), np.zeros(1))

    def report(self, stamp_ns: int) -> RobotState:
        """Return a copy of what the robot measures now."""
        opening = float(self._fingers[0] + self._fingers[1]) / fr3.GRIPPER_WIDTH_M
        return RobotState(
            position=self.position.copy(),
            velocity=self.velocity.copy(),
            effort=self.torque.copy(),
            gripper=min(max(opening, 0.0), 1.0),
            stamp_ns=stamp_ns,
        )

    def memory(self) -> tuple[F64, ...]:
        """Return what the controllers remember from one step to the next."""
        flags = np.array(
            [self.cartesian_active, self._finger_goal_m, self._finger_setpoint_m], float
        )
        cartesian = self.cartesian
        pose = (cartesian.position, cartesian.rotation, cartesian.posture)
        kept = (*pose, cartesian.stiffness, cartesian.wrench)
        arrays = (self.joint.position, self.joint.velocity, self.guard.previous, *kept)
        return (flags, *(array.copy() for array in arrays))

    def recall(self, memory: tuple[F64, ...]) -> None:
        """Restore what `memory` returned."""
        flags, joints, speeds, previous, position, rotation, posture, *rest = memory
        self.cartesian_active = bool(flags[0])
        self._finger_goal_m, self._finger_setpoint_m = float(flags[1]), float(flags[2])
        self.joint.position[:], self.joint.velocity[:] = joints, speeds
        self.guard.previous[:] = previous
        self.cartesian.position[:], self.cartesian.rotation[:] = position, rotation
        self.cartesian.posture[:] = posture
        self.cartesian.set_stiffness(rest[0])
        self.cartesian.wrench[:] = rest[1]


def finite(what: str, values: Sequence[float] | F64, size: int) -> F64:
    """Return `values` as float64 [size]; raise SafetyError for another size, NaN or infinity."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (size,):
        raise SafetyError(f"{what} has shape {array.shape}, needs {size} values")
    if not np.isfinite(array).all():
        raise SafetyError(f"{what} is {array.tolist()}, needs finite values")
    return array
