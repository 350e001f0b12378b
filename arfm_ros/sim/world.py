"""The simulated table top with the FR3: physics and control at 1 kHz, no ROS and no wall clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.control import fr3
from arfm_ros.sim.robot import Robot, RobotState, finite
from arfm_ros.sim.scene import Objects, load_model

F64 = NDArray[np.float64]
STEP_NS = 1_000_000
STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides how the world goes on."""

    physics: F64
    controllers: tuple[F64, ...]
    steps: int
    push_steps: int


class World:
    """One arm at one table, stepped by whole milliseconds.

    `seed` only seeds `rng`, for callers who want their randomness tied to the world; the physics
    itself is deterministic. Commands raise SafetyError when they are not finite or of wrong size.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.model: mujoco.MjModel = load_model()
        self.data: mujoco.MjData = mujoco.MjData(self.model)
        self.rng = np.random.default_rng(seed)
        self._robot = Robot(self.model, self.data)
        self._objects = Objects(self.model, self.data)
        self._hand = self.model.body("fr3_hand").id
        self._steps = 0
        self._push_steps = 0
        self._stale = False
        self.reset()

    @property
    def time_ns(self) -> int:
        """Simulated time since the last reset."""
        return self._steps * STEP_NS

    def reset(self, arm_rad: Sequence[float] | F64 = fr3.HOME, gripper: float = 1.0) -> None:
        """Park every object and put the arm at rest, with the measured state as target."""
        arm = finite("arm position", arm_rad, fr3.DOF)
        mujoco.mj_resetData(self.model, self.data)
        self._steps = self._push_steps = 0
        self._objects.park()
        self._robot.reset(arm, gripper)
        mujoco.mj_forward(self.model, self.data)
        self._robot.hold()
        self._stale = False

    def place(self, name: str, position: Sequence[float] | F64, yaw_rad: float = 0.0) -> None:
        """Move an object (cube, puck, marker, zone, bin) to a position [3] m, at rest."""
        self._objects.place(name, position, yaw_rad)
        self._stale = True

    def object_pose(self, name: str) -> tuple[F64, F64]:
        """Return position [3] and quaternion xyzw [4] of an object."""
        return self._objects.pose(name)

    def command_joints(
        self, position_rad: Sequence[float] | F64, velocity: Sequence[float] | F64 | None = None
    ) -> None:
        """Select joint impedance; without a velocity [7] the target is at rest."""
        self._robot.command_joints(
            position_rad, (0.0,) * fr3.DOF if velocity is None else velocity
        )

    def command_pose(
        self, position_m: Sequence[float] | F64, quaternion_xyzw: Sequence[float] | F64
    ) -> None:
        """Select Cartesian impedance of the tool, in the base frame."""
        self._robot.command_pose(position_m, quaternion_xyzw)

    def command_posture(self, position_rad: Sequence[float] | F64) -> None:
        """Set the joint positions [7] that the null space of Cartesian impedance prefers."""
        self._robot.command_posture(position_rad)

    def command_wrench(self, wrench: Sequence[float] | F64) -> None:
        """Set the wrench [6] N, Nm in the base frame that Cartesian impedance adds."""
        self._robot.command_wrench(wrench)

    def hold(self, *, cartesian: bool = False) -> None:
        """Make the measured state the target; `cartesian` selects the Cartesian impedance."""
        self._refresh()
        self._robot.hold()
        self._robot.cartesian_active = cartesian

    def command_gripper(self, opening: float) -> None:
        """Set the goal of the gripper: 0 closed .. 1 open (0.08 m)."""
        self._robot.command_gripper(opening)

    def command_stiffness(self, stiffness: Sequence[float] | F64) -> None:
        """Set the Cartesian stiffness [6] in N/m and Nm/rad."""
        self._robot.command_stiffness(stiffness)

    def push(self, force_n: Sequence[float] | F64, duration_s: float) -> None:
        """Press on the hand with a force [3] in the base frame, for a while from now."""
        force = finite("force", force_n, 3)
        self._push_steps = max(0, round(duration_s * 1e9 / STEP_NS))
        self.data.xfrc_applied[self._hand, :3] = force if self._push_steps else 0.0

    def step(self, count: int = 1) -> None:
        """Advance by `count` milliseconds."""
        model, data, control = self.model, self.data, self._robot.control
        step1, step2 = mujoco.mj_step1, mujoco.mj_step2
        for _ in range(count):
            step1(model, data)
            control()
            step2(model, data)
            if self._push_steps:
                self._push_steps -= 1
                if not self._push_steps:
                    data.xfrc_applied[self._hand, :3] = 0.0
        self._steps += count
        self._stale = True

    def robot_state(self) -> RobotState:
        """Return what the robot measures now."""
        return self._robot.state(self.time_ns)

    def tool_pose(self) -> tuple[F64, F64]:
        """Return position [3] and quaternion xyzw [4] of the tool in the base frame."""
        self._refresh()
        position, rotation = self._robot.tool_pose()
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, rotation.reshape(9))
        return position, quaternion[[1, 2, 3, 0]]

    def tool_twist(self) -> F64:
        """Return linear (m/s) and angular (rad/s) velocity [6] of the tool in the base frame."""
        self._refresh()
        return self._robot.tool_jacobian() @ self._robot.velocity

    def touching(self, a: str, b: str) -> bool:
        """Tell whether two bodies are in contact, by body name (`cube`, `fr3_leftfinger`, ...)."""
        self._refresh()
        wanted = {self.model.body(a).id, self.model.body(b).id}
        pairs = self.model.geom_bodyid[self.data.contact.geom]
        return any({int(first), int(second)} == wanted for first, second in pairs)

    def snapshot(self) -> Snapshot:
        """Copy everything that decides how the world goes on."""
        physics = np.zeros(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, physics, STATE)
        return Snapshot(physics, self._robot.memory(), self._steps, self._push_steps)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this world or of another one."""
        mujoco.mj_setState(self.model, self.data, snapshot.physics, STATE)
        self._robot.recall(snapshot.controllers)
        self._steps, self._push_steps = snapshot.steps, snapshot.push_steps
        self._objects.float_parked()
        self._stale = True

    def _refresh(self) -> None:
        """Bring poses and contacts up to the state that the last step left."""
        if self._stale:
            mujoco.mj_fwdPosition(self.model, self.data)
            self._stale = False
