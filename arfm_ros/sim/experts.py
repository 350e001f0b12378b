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

from arfm_ros.control import kinematics
from arfm_ros.core.errors import ConfigError
from arfm_ros.sim.motion import ToolMotion
from arfm_ros.sim.quality import Flaws
from arfm_ros.sim.tasks.task import fingers_on
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


def tool_yaw(world: World) -> float:
    """Return the yaw of the tool, 0 as in the home posture."""
    rotation = kinematics.matrix_from_quaternion(world.tool_pose()[1])
    return atan2(rotation[1, 0], rotation[0, 0])


def object_yaw(world: World, name: str) -> float:
    """Return the yaw of an object."""
    rotation = kinematics.matrix_from_quaternion(world.object_pose(name)[1])
    return atan2(rotation[1, 0], rotation[0, 0])


def nearest_turn(yaw_rad: float, reference_rad: float, turn_rad: float) -> float:
    """Return `yaw_rad` plus the multiple of `turn_rad` that brings it nearest to the reference."""
    return yaw_rad + turn_rad * round((reference_rad - yaw_rad) / turn_rad)


def _held(world: World) -> bool:
    return fingers_on(world, "cube") == 2 and world.robot_state().gripper < 0.75


def reach_goal(world: World) -> Goal:
    """Go straight to the ball."""
    return Goal(world.object_pose("marker")[0], 0.0, 1.0)


def _cube_yaw(world: World) -> float:
    """Return the grasp yaw nearest to zero, with a bias to the present one near a tie."""
    return nearest_turn(object_yaw(world, "cube"), 0.3 * tool_yaw(world), pi / 2)


def grasp_goal(world: World) -> Goal:
    """Come down on the cube through a funnel and close the fingers at its bottom."""
    tool, cube = world.tool_pose()[0], world.object_pose("cube")[0]
    yaw = _cube_yaw(world)
    sideways = float(np.linalg.norm(tool[:2] - cube[:2]))
    sideways += 0.03 * max(0.0, abs(tool_yaw(world) - yaw) - 0.1)
    above = float(np.clip(FUNNEL_SLOPE * (sideways - CLOSE_ENOUGH_M), 0.0, 0.10))
    bottom = cube[2] - 0.0225 + GRASP_Z_M
    closing = world.robot_state().gripper < 0.9
    reach_m = 0.02 if closing else CLOSE_ENOUGH_M + 0.003
    close = sideways < reach_m and abs(tool[2] - bottom) < (0.02 if closing else 0.01)
    return Goal(np.array([cube[0], cube[1], bottom + above]), yaw, 0.0 if close else 1.0)


def lift_goal(world: World) -> Goal:
    """Grasp the cube, then go straight up."""
    if not _held(world):
        return grasp_goal(world)
    tool = world.tool_pose()[0]
    return Goal(np.array([tool[0], tool[1], CARRY_Z_M]), _cube_yaw(world), 0.0)


def place_goal(world: World) -> Goal:
    """Grasp the cube, carry it over the bin and let go."""
    cube, box, tool = (
        world.object_pose("cube")[0],
        world.object_pose("bin")[0],
        world.tool_pose()[0],
    )
    if np.abs(cube[:2] - box[:2]).max() < 0.07 and not _held(world):
        return Goal(np.array([box[0], box[1], CARRY_Z_M]), 0.0, 1.0)
    if not _held(world):
        return grasp_goal(world)
    sideways = float(np.linalg.norm(tool[:2] - box[:2]))
    if sideways < 0.03 and tool[2] < 0.17:
        return Goal(np.array([box[0], box[1], 0.15]), 0.0, 1.0)
    if sideways > 0.05 and tool[2] < 0.16:
        return Goal(np.array([tool[0], tool[1], CARRY_Z_M]), tool_yaw(world), 0.0)
    height = float(np.clip(0.15 + 3.0 * (sideways - 0.015), 0.15, CARRY_Z_M))
    return Goal(np.array([box[0], box[1], height]), 0.0, 0.0)


def push_goal(world: World) -> Goal:
    """Get behind the puck, hold it between two fingertips and push it to the zone."""
    tool = world.tool_pose()[0]
    puck, zone = world.object_pose("puck")[0], world.object_pose("zone")[0]
    way = zone[:2] - puck[:2]
    distance = float(np.linalg.norm(way))
    along = way / max(distance, 1e-6)
    if distance < 0.012:
        return Goal(np.array([tool[0], tool[1], 0.15]), tool_yaw(world), PUSH_OPENING)
    across = np.array([-along[1], along[0]])
    offset = tool[:2] - puck[:2]
    behind, beside = -float(offset @ along), abs(float(offset @ across))
    yaw = nearest_turn(atan2(along[1], along[0]), 0.3 * tool_yaw(world), pi)
    start = puck[:2] - 0.065 * along
    turned = abs(tool_yaw(world) - yaw) < 0.3
    if tool[2] < 0.05 and turned and behind > 0.015 and beside < 0.012:
        target = puck[:2] + min(distance, 0.08) * along - 0.02 * along
        return Goal(np.append(target, PUSH_Z_M), yaw, PUSH_OPENING, speed_m_s=0.12)
    away = float(np.linalg.norm(tool[:2] - start))
    height = PUSH_Z_M + float(np.clip(4.0 * (away - 0.008), 0.0, 0.10))
    if tool[2] < 0.07 and away > 0.03:
        return Goal(np.array([tool[0], tool[1], 0.12]), tool_yaw(world), PUSH_OPENING)
    if not turned:
        height = max(height, 0.08)
    return Goal(np.append(start, height), yaw, PUSH_OPENING)


GOALS: dict[str, Callable[[World], Goal]] = {
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
        self._goal = GOALS[task]
        self._flaws = flaws or Flaws()
        self._motion: ToolMotion | None = None

    def forget(self) -> None:
        """Start again from the measured state, after somebody else has moved the arm."""
        self._motion = None

    def act(self, world: World, dt_s: float = 0.01) -> F64:
        """Return the next command [8]: joint angles [7] and gripper opening."""
        if self._motion is None:
            self._motion = ToolMotion(world.robot_state().position)
        goal = self._goal(world)
        shift = self._flaws.shift_m(world.time_ns, float(goal.position_m[2]))
        position = goal.position_m + shift
        if self._flaws.pausing(world.time_ns):
            position = self._motion.position_m
        q = self._motion.advance(position, goal.yaw_rad, goal.speed_m_s, dt_s)
        gripper = self._flaws.gripper(world.time_ns, goal.gripper)
        return np.append(q, gripper)
