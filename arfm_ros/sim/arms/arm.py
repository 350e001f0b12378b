"""An arm as tasks and experts see it: its numbers, its part of the table, its fingers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.commands.whole import columns
from arfm_ros.robots.robot import Robot
from arfm_ros.sim.arms.build import body_name
from arfm_ros.sim.arms.plan import ArmPlan, Plan, base_place
from arfm_ros.sim.arms.solver import ArmSolver, Fr3Solver, Solver

F64 = NDArray[np.float64]
READY_M = (0.42, 0.0, 0.32)  # tool position from which every task starts
WORKSPACE_X_M = (0.36, 0.62)
WORKSPACE_Y_M = (-0.22, 0.22)
HEIGHTS_M = (0.018, 0.28)  # lowest and highest that a tool has to come to in a task
BESIDE_M = 0.14  # half the width of the workspace where arms stand beside each other
TOWARDS = 0.6  # its middle, of the base's distance from the middle of the table
SHORTER_M = 0.02  # a workspace whose corners are out of reach is cut by so much at a time
LEAST_M = 0.10
SPREAD_M = 0.03  # of the tool's starts about the ready point
CHECK = "check the base frame, the tool frame and the joints' limits"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where objects for an arm are put on the table, and where its tool begins."""

    x_m: tuple[float, float] = WORKSPACE_X_M
    y_m: tuple[float, float] = WORKSPACE_Y_M
    ready_m: tuple[float, float, float] = READY_M
    low_m: tuple[float, float, float] = (0.32, -0.28, 0.05)  # where an arm is thrown or put
    high_m: tuple[float, float, float] = (0.66, 0.28, 0.36)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One arm; `own` and `opening` are places in the command vector."""

    group: str
    own: slice
    opening: int | None  # None: it has no hand
    solver: Solver
    workspace: Workspace
    fingers: tuple[tuple[str, ...], ...]  # bodies of each finger
    marker: str  # its ball


def fr3_arm() -> Arm:
    """Return the arm of the FR3, whose model and kinematics are its own."""
    fingers = (("fr3_leftfinger",), ("fr3_rightfinger",))
    return Arm("arm", slice(0, 7), 7, Fr3Solver(), Workspace(), fingers, "marker")


def arms_of(plan: Plan) -> tuple[Arm, ...]:
    """Return the arms of a robot; raises `ConfigError` for one that cannot work at the table."""
    return tuple(_arm(plan, one) for one in plan.arms)


def _arm(plan: Plan, one: ArmPlan) -> Arm:
    wanted = _wanted(plan, one)
    solver = ArmSolver(plan.robot, one.group.name, np.array(wanted.ready_m))
    fingers = () if one.hand is None else one.hand.fingers
    return Arm(
        one.group.name,
        columns(plan.robot)[one.group.name],
        _opening(plan.robot, one),
        solver,
        _within_reach(wanted, solver),
        tuple(tuple(map(body_name, finger)) for finger in fingers),
        one.marker,
    )


def _opening(robot: Robot, one: ArmPlan) -> int | None:
    return None if one.hand is None else columns(robot)[one.hand.group.name].start


def _wanted(plan: Plan, one: ArmPlan) -> Workspace:
    """Return the workspace in front of an arm; beside another one it is narrower."""
    x, y, _ = base_place(plan, one.group).tolist()
    middle = TOWARDS * y
    half = BESIDE_M if len(plan.arms) > 1 else WORKSPACE_Y_M[1]
    ready = (READY_M[0] + x, middle, READY_M[2])
    span = (WORKSPACE_X_M[0] + x, WORKSPACE_X_M[1] + x)
    return Workspace(span, (middle - half, middle + half), ready)


def _within_reach(wanted: Workspace, solver: ArmSolver) -> Workspace:
    """Move a workspace away from the base and cut its far end until all of it is within reach."""
    (near, far), (low, high), ready = wanted.x_m, wanted.y_m, wanted.ready_m
    while not _reaches_near(near, ready, (low, high), solver):
        near, ready = near + SHORTER_M, (ready[0] + SHORTER_M, *ready[1:])
        if far - near < LEAST_M:
            raise ConfigError(f"{solver.what} reaches nothing on the table: {CHECK}")
    while not _reaches(solver, (far,), (low, high), HEIGHTS_M):
        far -= SHORTER_M
        if far - near < LEAST_M:
            raise ConfigError(f"{solver.what} reaches {far:.2f} m at most on the table: {CHECK}")
    around = (near, low, 0.05), (far, high, HEIGHTS_M[1])
    return Workspace((near, far), wanted.y_m, ready, *around)


def _reaches_near(
    near: float, ready: tuple[float, float, float], y: tuple[float, float], solver: ArmSolver
) -> bool:
    x, middle, z = ((at - SPREAD_M, at + SPREAD_M) for at in ready)
    return _reaches(solver, (near,), y, HEIGHTS_M) and _reaches(solver, x, middle, z)


def _reaches(solver: ArmSolver, *spans: tuple[float, ...]) -> bool:
    return all(solver.reaches(np.array(corner)) for corner in product(*spans))
