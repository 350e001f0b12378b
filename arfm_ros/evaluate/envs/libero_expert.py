"""Scripted experts of LIBERO's pick-and-place tasks, from poses; LIBERO itself has none.

They take `target` to `goal` (the objects of interest of a task) with the tool pointing down: over
it, down, close, up, over the goal, down, open. What is wider than the hand is held at its rim.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.data import Observation
from arfm_ros.evaluate.envs.environment import Act

F64 = NDArray[np.float64]
SUITES = ("libero_object", "libero_spatial")  # of which each task is to move one thing
NEAR_M, LEVEL_M = 0.004, 0.01  # a box is nearly as wide as the hand opens
ABOVE_M, HIGH_M = 0.12, 0.30  # over what is gripped; over the ground, on the way
CLOSING, OPENING, PATIENCE = 16, 8, 45  # steps
GAIN = 0.35  # part of the way to go that a step goes: the controller lags by some steps
STEP_M = 0.04  # at most
FINGER_M = 0.025  # of the fingers that reach down beside a thing's top
TOOL, TURN, TARGET, GOAL = slice(0, 3), slice(3, 6), slice(8, 11), slice(15, 18)
DOWN = np.diag([1.0, -1.0, -1.0])  # of the tool, its fingers along y
TURN_RAD = 0.1  # at most, a step


@dataclass(frozen=True, slots=True)
class Grip:
    """Where the hand goes, from the centre of the thing; m."""

    grasp: tuple[float, float, float] = (0.0, 0.0, 0.0)
    release_m: float = 0.15  # of the tool over the goal's origin; of the thing where it slips
    standing: bool = False
    slips: bool = False  # so that it is put down from where it is held by then


SPATIAL = Grip((0.0, 0.045, 0.026), 0.06)  # a bowl, by its wall
ON_RAMEKIN = Grip((-0.045, 0.0, 0.03), 0.06)  # found by trial
IN_DRAWER = Grip((-0.035, 0.022, 0.025), 0.02, slips=True)  # away from its walls; by trial too
ELSEWHERE = {"on the ramekin": ON_RAMEKIN, "in the top drawer": IN_DRAWER}
OBJECT = Grip((0.0, 0.0, 0.0), 0.16, standing=True)  # into a basket


class PickAndPlace:
    """One episode's expert: it goes on from stage to stage."""

    def __init__(self, grip: Grip) -> None:
        self._grip, self._stage, self._count = grip, 0, 0

    def act(self, seen: Observation) -> F64:
        """Return step [m], turn [rad] and opening [7] for an observation of all axes."""
        state = seen.state.astype(np.float64)
        tool, target, goal = state[TOOL], state[TARGET], state[GOAL]
        places = [grip for where, grip in ELSEWHERE.items() if where in seen.instruction]
        grip = places[0] if places else self._grip
        grasp = target + grip.grasp
        if grip.standing:  # on the floor, its origin in the middle: the palm stays above it
            grasp[2] = max(target[2], 2.0 * target[2] - FINGER_M)
        held = tool - target if grip.slips else np.append(grip.grasp[:2], 0.0)
        over_goal = goal + held
        way = (
            (np.append(grasp[:2], grasp[2] + ABOVE_M), 1.0),
            (grasp, 1.0),
            (tool, 0.0),
            (np.append(tool[:2], goal[2] + HIGH_M), 0.0),
            (np.append(over_goal[:2], goal[2] + HIGH_M), 0.0),
            (over_goal + (0.0, 0.0, grip.release_m), 0.0),
            (tool, 1.0),
            (tool + (0.0, 0.0, 0.1), 1.0),
        )
        aim, opening = way[self._stage]
        off = aim - tool
        self._go_on(off, len(way))
        step = GAIN * off
        step *= min(1.0, STEP_M / max(float(np.abs(step).max()), 1e-9))
        return np.concatenate([step, _turn(state[TURN]), [opening]])

    def _go_on(self, off: F64, stages: int) -> None:
        self._count += 1
        waits = {2: CLOSING, 6: OPENING}
        if self._stage in waits:
            done = self._count >= waits[self._stage]
        else:
            done = np.linalg.norm(off[:2]) < NEAR_M and abs(off[2]) < LEVEL_M
        done = done or self._count >= PATIENCE  # something is in the way: from there
        if done and self._stage < stages - 1:
            self._stage, self._count = self._stage + 1, 0


def _turn(axis_angle: F64) -> F64:
    """Return a turn [rad], in the base, towards the tool pointing down."""
    left = cv2.Rodrigues(DOWN @ cv2.Rodrigues(axis_angle)[0].T)[0][:, 0]
    return np.asarray(np.clip(GAIN * left, -TURN_RAD, TURN_RAD))


def expert_of(task: str) -> Act:
    """Return a fresh expert of a task. Raises `ConfigError` where there is none."""
    if not task.startswith(SUITES):
        raise ConfigError(
            f"there is no expert of {task}: those of {' and '.join(SUITES)} have one"
        )
    return PickAndPlace(OBJECT if task.startswith(SUITES[0]) else SPATIAL).act
