"""Scripted experts: where the tool should go next, seen from the true state of the world.

Each expert is a function of the state alone (no phases kept), so that it recovers from any
disturbance and a policy without memory can imitate it. `Expert` turns the goals into smooth
joint commands; `Quality` spoils them on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, pi

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.poses import from_quaternions
from arfm_ros.sim.arms.arm import Arm
from arfm_ros.sim.expert.motion import ToolMotion
from arfm_ros.sim.expert.quality import Flaws
from arfm_ros.sim.tasks.task import fingers_on, lifter
from arfm_ros.sim.world import World

F64 = NDArray[np.float64]
GRASP_Z_M = 0.018
CARRY_Z_M = 0.24
FUNNEL_SLOPE = 6.0  # metres of height kept per metre of sideways error
CLOSE_ENOUGH_M = 0.008
PUSH_Z_M = 0.022
PUSH_OPENING = 0.45


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the tool is to go: position [3], yaw, gripper opening, speed."""

    position_m: F64
    yaw_rad: float
    gripper: float
    speed_m_s: float = 0.30


def tool_yaw(world: World, arm: Arm) -> float:
    """Return the yaw of an arm's tool, 0 as in the home posture."""
    return arm.solver.yaw(from_quaternions(world.tool_pose(arm.group)[1]))


def object_yaw(world: World, name: str) -> float:
    """Return the yaw of an object."""
    rotation = from_quaternions(world.object_pose(name)[1])
    return atan2(rotation[1, 0], rotation[0, 0])


def nearest_turn(yaw_rad: float, reference_rad: float, turn_rad: float) -> float:
    """Return `yaw_rad` plus the multiple of `turn_rad` that brings it nearest to the reference."""
    return yaw_rad + turn_rad * round((reference_rad - yaw_rad) / turn_rad)


def _opening(world: World, arm: Arm) -> float:
    return 1.0 if arm.opening is None else float(world.measured()[arm.opening])


def _held(world: World, arm: Arm) -> bool:
    return fingers_on(world, arm, "cube") == 2 and _opening(world, arm) < 0.75


def reach_goal(world: World, arm: Arm) -> Goal:
    """Go straight to the ball."""
    return Goal(world.object_pose(arm.marker)[0], 0.0, 1.0)


def _cube_yaw(world: World, arm: Arm) -> float:
    """Return the grasp yaw nearest to zero, with a bias to the present one near a tie."""
    return nearest_turn(object_yaw(world, "cube"), 0.3 * tool_yaw(world, arm), pi / 2)


def grasp_goal(world: World, arm: Arm) -> Goal:
    """Come down on the cube through a funnel and close the fingers at its bottom."""
    tool, cube = world.tool_pose(arm.group)[0], world.object_pose("cube")[0]
    yaw = _cube_yaw(world, arm)
    sideways = float(np.linalg.norm(tool[:2] - cube[:2]))
    sideways += 0.03 * max(0.0, abs(tool_yaw(world, arm) - yaw) - 0.1)
    above = float(np.clip(FUNNEL_SLOPE * (sideways - CLOSE_ENOUGH_M), 0.0, 0.10))
    bottom = cube[2] - 0.0225 + GRASP_Z_M
    closing = _opening(world, arm) < 0.9
    reach_m = 0.02 if closing else CLOSE_ENOUGH_M + 0.003
    close = sideways < reach_m and abs(tool[2] - bottom) < (0.02 if closing else 0.01)
    return Goal(np.array([cube[0], cube[1], bottom + above]), yaw, 0.0 if close else 1.0)


def lift_goal(world: World, arm: Arm) -> Goal:
    """Grasp the cube, then go straight up."""
    if not _held(world, arm):
        return grasp_goal(world, arm)
    tool = world.tool_pose(arm.group)[0]
    return Goal(np.array([tool[0], tool[1], CARRY_Z_M]), _cube_yaw(world, arm), 0.0)


def place_goal(world: World, arm: Arm) -> Goal:
    """Grasp the cube, carry it over the bin and let go."""
    cube, box, tool = (
        world.object_pose("cube")[0],
        world.object_pose("bin")[0],
        world.tool_pose(arm.group)[0],
    )
    if np.abs(cube[:2] - box[:2]).max() < 0.07 and not _held(world, arm):
        return Goal(np.array([box[0], box[1], CARRY_Z_M]), 0.0, 1.0)
    if not _held(world, arm):
        return grasp_goal(world, arm)
    sideways = float(np.linalg.norm(tool[:2] - box[:2]))
    if sideways < 0.03 and tool[2] < 0.17:
        return Goal(np.array([box[0], box[1], 0.15]), 0.0, 1.0)
    if sideways > 0.05 and tool[2] < 0.16:
        return Goal(np.array([tool[0], tool[1], CARRY_Z_M]), tool_yaw(world, arm), 0.0)
    height = float(np.clip(0.15 + 3.0 * (sideways - 0.015), 0.15, CARRY_Z_M))
    return Goal(np.array([box[0], box[1], height]), 0.0, 0.0)


def push_goal(world: World, arm: Arm) -> Goal:
    """Get behind the puck, hold it between two fingertips and push it to the zone."""
    tool = world.tool_pose(arm.group)[0]
    puck, zone = world.object_pose("puck")[0], world.object_pose("zone")[0]
    way = zone[:2] - puck[:2]
    distance = float(np.linalg.norm(way))
    along = way / max(distance, 1e-6)
    if distance < 0.012:
        return Goal(np.array([tool[0], tool[1], 0.15]), tool_yaw(world, arm), PUSH_OPENING)
    across = np.array([-along[1], along[0]])
    offset = tool[:2] - puck[:2]
    behind, beside = -float(offset @ along), abs(float(offset @ across))
    yaw = nearest_turn(atan2(along[1], along[0]), 0.3 * tool_yaw(world, arm), pi)
    start = puck[:2] - 0.065 * along
    turned = abs(tool_yaw(world, arm) - yaw) < 0.3
    if tool[2] < 0.05 and turned and behind > 0.015 and beside < 0.012:
        target = puck[:2] + min(distance, 0.08) * along - 0.02 * along
        return Goal(np.append(target, PUSH_Z_M), yaw, PUSH_OPENING, speed_m_s=0.12)
    away = float(np.linalg.norm(tool[:2] - start))
    height = PUSH_Z_M + float(np.clip(4.0 * (away - 0.008), 0.0, 0.10))
    if tool[2] < 0.07 and away > 0.03:
        return Goal(np.array([tool[0], tool[1], 0.12]), tool_yaw(world, arm), PUSH_OPENING)
    if not turned:
        height = max(height, 0.08)
    return Goal(np.append(start, height), yaw, PUSH_OPENING)


GOALS: dict[str, Callable[[World, Arm], Goal]] = {
    "reach": reach_goal,
    "lift": lift_goal,
    "push": push_goal,
    "place": place_goal,
}


class Expert:
    """Drive the world's robot through a task: call `act` every 10 ms."""

    def __init__(self, task: str, flaws: Flaws | None = None) -> None:
        if task not in GOALS:
            raise ConfigError(f"no expert for task '{task}', needs one of {', '.join(GOALS)}")
        self._goal, self._everywhere = GOALS[task], task == "reach"
        self._flaws = flaws or Flaws()
        self._motions: dict[str, ToolMotion] = {}
        self.poor = False  # whether the last command was flawed

    def forget(self) -> None:
        """Start again from the measured state, after somebody else has moved the arm."""
        self._motions.clear()

    def act(self, world: World, dt_s: float = 0.01) -> F64:
        """Return the next command [A] of the whole robot; axes that have no part stay at home."""
        command = np.array([axis.home for axis in world.robot.axes])
        working = world.arms if self._everywhere else (lifter(world),)
        for arm in world.arms:
            if arm.group not in self._motions:
                self._motions[arm.group] = ToolMotion(world.measured()[arm.own], arm.solver)
            motion = self._motions[arm.group]
            goal = self._goal(world, arm) if arm in working else _stay(motion)
            command[arm.own], opening = self._move(world, motion, goal, dt_s)
            if arm.opening is not None:
                command[arm.opening] = opening
        return command

    def _move(
        self, world: World, motion: ToolMotion, goal: Goal, dt_s: float
    ) -> tuple[F64, float]:
        """Return joint positions and opening on the way to a goal, with the flaws."""
        shift = self._flaws.shift_m(world.time_ns, float(goal.position_m[2]))
        position = goal.position_m + shift
        if self._flaws.pausing(world.time_ns):
            position = motion.position_m
        holding = goal.gripper < 0.5
        self.poor = self._flaws.poor(world.time_ns, holding)
        speed = self._flaws.speed(goal.speed_m_s, holding)
        q = motion.advance(position, goal.yaw_rad, speed, dt_s)
        return q, self._flaws.gripper(world.time_ns, goal.gripper)


def _stay(motion: ToolMotion) -> Goal:
    return Goal(motion.position_m, motion.yaw_rad, 1.0)
