"""What stands between a group's targets and its motors; `step` once every physics step of 1 ms.

Torque: the law of CRISP's joint impedance controller. Servo: a stiff position loop that holds its
arm up by itself, as those inside a UR or a Kinova. Grip: a gripper at its own speed and force.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.robots.fr3.gains import TUNED_TORQUE, JointGains
from arfm_ros.sim.arms.joints import Joints, largest_inertias

F64 = NDArray[np.float64]
PERIOD_S = 0.001
SERVO_RAD_S = 60.0  # frequency of a servo with the largest inertia, critically damped
RAMP_STEPS = 10  # a servo goes to a bare target in so many steps: they come every 10 ms
GRIP_N = 70.0  # what fingers press with, Franka Hand data sheet; the 2F-85 has 20 to 235 N
GRIP_LEAD = 0.2  # of the stroke, how far the setpoint may run ahead: there the force is at its end


class Drive(Protocol):
    """One group's motors."""

    joints: Joints

    def hold(self) -> None:
        """Make the measured state the target."""

    def target(self, position: F64, velocity: F64) -> None:
        """Go to positions [N] of the axes, which move at `velocity` [N]."""

    def step(self) -> None:
        """Compute the motors' commands of this physics step."""

    def effort(self) -> F64:
        """Return what the motors do [N], Nm or N."""

    def memory(self) -> Any:
        """Return what the next steps depend on."""

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""


class TorqueDrive:
    """tau = K (q_ref - q) + D (dq_ref - dq), clamped, its change limited, gravity added."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, joints: Joints, gains: JointGains
    ) -> None:
        self._data, self.joints, self.gains = data, joints, gains
        self._stiffness, self._damping = np.array(gains.stiffness), np.array(gains.damping)
        self._most, self._change = gains.max_torque_nm, TUNED_TORQUE.max_delta_nm
        model.actuator_gainprm[joints.u, 0] = 1.0
        self._size = model.actuator_forcerange[joints.u, 1].copy()
        self._position, self._velocity = np.zeros(len(joints.u)), np.zeros(len(joints.u))
        self._sent = np.zeros(len(joints.u))  # without gravity

    def hold(self) -> None:
        """Make the measured state the target, as on_activate has it."""
        self._position = self.joints.position(self._data)
        self._velocity = self.joints.velocity(self._data)
        self._sent = np.zeros(len(self.joints.u))

    def target(self, position: F64, velocity: F64) -> None:
        """Set the target; it and its velocity are kept for ever."""
        self._position, self._velocity = position, velocity

    def step(self) -> None:
        """Command torques."""
        data, joints = self._data, self.joints
        torque = self._stiffness * (self._position - data.qpos[joints.q])
        torque += self._damping * (self._velocity - data.qvel[joints.v])
        np.minimum(np.maximum(torque, -self._most, out=torque), self._most, out=torque)
        change = np.minimum(np.maximum(torque - self._sent, -self._change), self._change)
        self._sent = self._sent + change
        whole = self._sent + data.qfrc_bias[joints.v]
        data.ctrl[joints.u] = np.minimum(np.maximum(whole, -self._size), self._size)

    def effort(self) -> F64:
        """Return the torques, gravity included."""
        return np.array(self._data.ctrl[self.joints.u])

    def memory(self) -> Any:
        """Return target and last torque."""
        return (self._position.copy(), self._velocity.copy(), self._sent.copy())

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self._position, self._velocity, self._sent = deepcopy(memory)


class ServoDrive:
    """Positions followed stiffly; the velocity is fed forward, so that nothing lags."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, joints: Joints) -> None:
        self._data, self.joints = data, joints
        inertia = largest_inertias(model, joints)
        self._lead_s = 2.0 / SERVO_RAD_S  # kv / kp
        model.actuator_gainprm[joints.u, 0] = inertia * SERVO_RAD_S**2
        model.actuator_biasprm[joints.u, 1] = -inertia * SERVO_RAD_S**2
        model.actuator_biasprm[joints.u, 2] = -inertia * 2.0 * SERVO_RAD_S
        self.position, self.velocity = np.zeros(len(joints.u)), np.zeros(len(joints.u))
        self._goal, self._left = self.position, 0

    def hold(self) -> None:
        """Stand where the arm is."""
        self.position = self.joints.position(self._data)
        self.velocity = np.zeros(len(self.position))
        self._left = 0

    def target(self, position: F64, velocity: F64) -> None:
        """Go to a position in the next 10 ms and stay there, whatever its velocity."""
        self._goal, self._left = position, RAMP_STEPS
        self.velocity = (position - self.position) / (RAMP_STEPS * PERIOD_S)

    def follow(self, position: F64, velocity: F64) -> None:
        """Set the reference of this very step."""
        self.position, self.velocity, self._left = position, velocity, 0

    def step(self) -> None:
        """Command positions."""
        if self._left > 0:
            self.position = self.position + (self._goal - self.position) / self._left
            self._left -= 1
            if not self._left:
                self.velocity = np.zeros(len(self.position))
        reference = self.position + self._lead_s * self.velocity
        self._data.ctrl[self.joints.u] = self.joints.stroke * reference + self.joints.bias

    def effort(self) -> F64:
        """Return the torques, gravity included."""
        data = self._data
        motors: F64 = data.actuator_force[self.joints.u] + data.qfrc_gravcomp[self.joints.v]
        return motors

    def memory(self) -> Any:
        """Return reference and goal."""
        return (self.position.copy(), self.velocity.copy(), self._goal.copy(), self._left)

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self.position, self.velocity, self._goal, self._left = deepcopy(memory)


class GripDrive:
    """Opening axes: a goal is approached at the joint's own speed, with limited force."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, joints: Joints, lever_m: float
    ) -> None:
        """`lever_m`: from the axis of a turning finger to where it presses."""
        self._data, self.joints = data, joints
        slides = model.jnt_type[model.dof_jntid[joints.v]] == mujoco.mjtJoint.mjJNT_SLIDE
        most = np.where(slides, GRIP_N, GRIP_N * lever_m)
        stiffness = most / (GRIP_LEAD * np.abs(joints.stroke))
        model.actuator_gainprm[joints.u, 0] = stiffness
        model.actuator_biasprm[joints.u, 1] = -stiffness
        model.actuator_biasprm[joints.u, 2] = -0.01 * stiffness
        model.actuator_forcerange[joints.u] = np.stack([-most, most], axis=1)
        # an axis' own limit is that of commands, which may step; a joint moves slower
        self._step = np.array([_speed(axis) for axis in joints.axes]) * PERIOD_S
        self._goal, self._setpoint = np.ones(len(joints.u)), np.ones(len(joints.u))

    def hold(self) -> None:
        """Stay where the fingers are."""
        self._goal = np.clip(self.joints.position(self._data), 0.0, 1.0)
        self._setpoint = self._goal.copy()

    def target(self, position: F64, velocity: F64) -> None:
        """Set the goal, 0 closed to 1 open; beyond is clipped."""
        self._goal = np.clip(position, 0.0, 1.0)

    def step(self) -> None:
        """Command the driven joints."""
        self._setpoint += np.clip(self._goal - self._setpoint, -self._step, self._step)
        at = self.joints.position(self._data)
        self._setpoint = np.clip(self._setpoint, at - GRIP_LEAD, at + GRIP_LEAD)
        self._data.ctrl[self.joints.u] = self.joints.stroke * self._setpoint + self.joints.bias

    def effort(self) -> F64:
        """Return what the motors do."""
        return np.array(self._data.actuator_force[self.joints.u])

    def memory(self) -> Any:
        """Return goal and setpoint."""
        return (self._goal.copy(), self._setpoint.copy())

    def recall(self, memory: Any) -> None:
        """Restore what `memory` returned."""
        self._goal, self._setpoint = deepcopy(memory)


def _speed(axis: Any) -> float:
    """Return openings a second: a whole way takes 0.8 s, as the Franka Hand's and the 2F-85's."""
    return min(float(axis.velocity), 1.25)
