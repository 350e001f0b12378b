"""The simulated table top with a robot: physics and control at 1 kHz, no ROS and no wall clock.

The FR3 with its hand and CRISP controllers has a model of its own (`assets/fr3.xml`); any other
robot gets one from its description (`sim/arms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError, SimulationError
from arfm_ros.robots.commands.values import Value
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.fr3 import facts as fr3
from arfm_ros.robots.robot import Robot
from arfm_ros.sim.arms.arm import Arm, arms_of, fr3_arm
from arfm_ros.sim.arms.arms import Arms
from arfm_ros.sim.arms.build import body_name, build_model
from arfm_ros.sim.arms.plan import plan_of
from arfm_ros.sim.controllers.jtc import JtcMessage
from arfm_ros.sim.robot import GroupState, RobotState, finite
from arfm_ros.sim.robot import Robot as Fr3
from arfm_ros.sim.scene import CAMERAS, OBJECTS, Objects, load_model

F64 = NDArray[np.float64]
STEP_NS = 1_000_000
STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
_WARNINGS = mujoco.mjtWarning
DIVERGED = (_WARNINGS.mjWARN_BADQPOS, _WARNINGS.mjWARN_BADQVEL, _WARNINGS.mjWARN_BADQACC)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides how the world goes on."""

    physics: F64
    controllers: Any
    steps: int
    push_steps: int


class World:
    """One robot at one table, stepped by whole milliseconds.

    `seed` only seeds `rng`, for callers who want their randomness tied to the world; the physics
    itself is deterministic. Commands raise SafetyError when they are not finite or of wrong size.
    Command vectors [A] are of all axes of the robot, in its order. Poses are in the scene: the
    root of the robot's description, which for the FR3 is its base.
    """

    def __init__(self, robot: Robot | None = None, *, seed: int = 0) -> None:
        self.robot = default_robot() if robot is None else robot
        self._fr3: Fr3 | None = None
        if is_fr3(self.robot):
            self.model: mujoco.MjModel = load_model()
            self.data: mujoco.MjData = mujoco.MjData(self.model)
            self._robot: Fr3 | Arms = Fr3(self.model, self.data)
            self._fr3 = self._robot
            self.arms: tuple[Arm, ...] = (fr3_arm(),)
            self.cameras: tuple[str, ...] = CAMERAS
            hand = "fr3_hand"
        else:
            plan = plan_of(self.robot)
            self.model = build_model(plan)
            self.data = mujoco.MjData(self.model)
            self._robot = Arms(plan, self.model, self.data)
            self.arms, self.cameras = arms_of(plan), plan.cameras
            hand = body_name(plan.arms[0].group.tool)
        self.objects = (*OBJECTS, *(arm.marker for arm in self.arms[1:]))
        self.openings = np.array([axis.unit == "1" for axis in self.robot.axes])
        self.rng = np.random.default_rng(seed)
        self._objects = Objects(self.model, self.data, self.objects)
        self._hand = self.model.body(hand).id
        # else the engine puts everything back to its first pose, without a word, and goes on
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._bad = [self.data.warning[kind] for kind in DIVERGED]
        self._steps = 0
        self._push_steps = 0
        self._stale = False
        self.reset()

    @property
    def time_ns(self) -> int:
        """Simulated time since the last reset."""
        return self._steps * STEP_NS

    @property
    def fr3(self) -> Fr3:
        """The FR3 with what only it has; raises `ConfigError` for another robot."""
        if self._fr3 is None:
            raise ConfigError(
                f"robot '{self.robot.name}' has no Cartesian controller in the simulation, only "
                "the FR3 has: use joint commands"
            )
        return self._fr3

    def reset(self, arm_rad: Sequence[float] | F64 | None = None, gripper: float = 1.0) -> None:
        """Park every object and put the robot at rest, with the measured state as target.

        `arm_rad`: positions of all axes but grippers (None: home).
        """
        arm = self._robot.start(arm_rad)  # raises before anything has changed
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

    def command(self, position: F64, velocity: F64) -> None:
        """Have the whole robot go to `position` [A], moving at `velocity` [A], past its topics."""
        self._robot.command(position, velocity)

    def receive(self, group: str, value: Value | JtcMessage) -> str:
        """Hand a group's controller a message as plain values; return '' or why it refuses it."""
        return self._robot.receive(group, value)

    def command_joints(
        self, position_rad: Sequence[float] | F64, velocity: Sequence[float] | F64 | None = None
    ) -> None:
        """Select the FR3's joint impedance; without a velocity [7] the target is at rest."""
        self.fr3.command_joints(position_rad, (0.0,) * fr3.DOF if velocity is None else velocity)

    def command_pose(
        self, position_m: Sequence[float] | F64, quaternion_xyzw: Sequence[float] | F64
    ) -> None:
        """Select the FR3's Cartesian impedance of the tool, in the base frame."""
        self.fr3.command_pose(position_m, quaternion_xyzw)

    def command_posture(self, position_rad: Sequence[float] | F64) -> None:
        """Set the joint positions [7] that the null space of Cartesian impedance prefers."""
        self.fr3.command_posture(position_rad)

    def command_wrench(self, wrench: Sequence[float] | F64) -> None:
        """Set the wrench [6] N, Nm in the base frame that Cartesian impedance adds."""
        self.fr3.command_wrench(wrench)

    def hold(self, *, cartesian: bool = False) -> None:
        """Make the measured state the target; `cartesian` selects the Cartesian impedance."""
        self._refresh()
        self._robot.hold()
        if self._fr3 is not None or cartesian:
            self.fr3.cartesian_active = cartesian

    def command_gripper(self, opening: float) -> None:
        """Set the goal of every gripper: 0 closed .. 1 open."""
        self._robot.open(opening)

    def command_stiffness(self, stiffness: Sequence[float] | F64) -> None:
        """Set the Cartesian stiffness [6] in N/m and Nm/rad."""
        self.fr3.command_stiffness(stiffness)

    def push(self, force_n: Sequence[float] | F64, duration_s: float) -> None:
        """Press on the (first) hand with a force [3] in the scene, for a while from now."""
        force = finite("force", force_n, 3)
        self._push_steps = max(0, round(duration_s * 1e9 / STEP_NS))
        self.data.xfrc_applied[self._hand, :3] = force if self._push_steps else 0.0

    def step(self, count: int = 1) -> None:
        """Advance by `count` milliseconds.

        Raises `SimulationError` where the physics diverges; until `reset` nothing can be done.
        """
        model, data, control = self.model, self.data, self._robot.control
        step1, step2 = mujoco.mj_step1, mujoco.mj_step2
        for _ in range(count):
            step1(model, data)
            self._require_finite()
            control()
            step2(model, data)
            if self._push_steps:
                self._push_steps -= 1
                if not self._push_steps:
                    data.xfrc_applied[self._hand, :3] = 0.0
        self._steps += count
        self._stale = True

    def _require_finite(self) -> None:
        """Raise `SimulationError` naming the body whose motion has no finite value any more."""
        for warning in self._bad:
            if warning.number:
                of = self.model.dof_bodyid[min(warning.lastinfo, self.model.nv - 1)]
                raise SimulationError(
                    f"the physics diverged after {self.data.time:.3f} s at the body "
                    f"'{self.model.body(int(of)).name}': it was pressed or thrown too hard"
                )

    def robot_state(self) -> RobotState:
        """Return what the robot measures now: all axes but grippers, and the first gripper."""
        if self._fr3 is not None:
            return self._fr3.report(self.time_ns)
        states = [self._robot.state(group.name) for group in self.robot.groups]
        position = np.concatenate([state.position for state in states])
        velocity = np.concatenate([state.velocity for state in states])
        effort = np.concatenate([state.effort for state in states])
        opening, arms = position[self.openings], ~self.openings
        return RobotState(
            position[arms],
            velocity[arms],
            effort[arms],
            min(max(float(opening[0]), 0.0), 1.0) if opening.size else 1.0,
            self.time_ns,
        )

    def state(self, group: str) -> GroupState:
        """Return what a group measures now, in the order of its axes."""
        return self._robot.state(group)

    def measured(self) -> F64:
        """Return the positions of all axes [A]; openings are within 0 and 1."""
        return self._robot.measured()

    def tool_pose(self, group: str = "") -> tuple[F64, F64]:
        """Return position [3] and quaternion xyzw [4] of a group's tool ("": the first arm's)."""
        self._refresh()
        position, rotation = self._robot.tool_pose(group or self.arms[0].group)
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, rotation.reshape(9))
        return position, quaternion[[1, 2, 3, 0]]

    def tool_twist(self, group: str = "") -> F64:
        """Return linear (m/s) and angular (rad/s) velocity [6] of a group's tool."""
        self._refresh()
        return self._robot.tool_twist(group or self.arms[0].group)

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
        """Go back to a snapshot of this world or of another one of the same robot."""
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


@cache
def default_robot() -> Robot:
    """Return the FR3 of config/robots."""
    return load_robot("fr3")


def is_fr3(robot: Robot) -> bool:
    """Tell whether a robot is the FR3 with its hand behind CRISP's controllers."""
    kinds = {group.name: group.controller.kind for group in robot.groups}
    crisp = kinds.get("arm") in ("crisp_joint", "crisp_pose")
    hand = kinds.get("gripper") == "float64_array"
    return robot.names == (*fr3.JOINT_NAMES, fr3.GRIPPER_NAME) and crisp and hand
