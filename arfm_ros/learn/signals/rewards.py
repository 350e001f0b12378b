"""Rewards of an episode, step by step, and what is left of them from each step on.

A term is kept apart from the others up to the training run: the sum of weighted terms is linear,
so another weighting needs no second reading of the episodes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.safety.decision import HUMAN
from arfm_ros.core.values.data import F32
from arfm_ros.episodes.task_state import TaskState
from arfm_ros.episodes.windows import EpisodeArrays
from arfm_ros.robots.embodiment import Embodiment, arm_columns

F64 = NDArray[np.float64]
TERMS = (
    "success",  # 1 a step of a successful episode, 0 of a failed one
    "steps_to_success",  # 1 at the step that succeeds
    "progress",  # how far the task got in the step
    "joint_velocity",  # -|dq/dt|^2
    "joint_acceleration",  # -|d2q/dt2|^2
    "action_velocity",  # the same of what was commanded
    "action_acceleration",
    "takeover",  # -1 in the last second before a human takes over
)
BLAME_NS = 1_000_000_000


def returns_to_go(arrays: EpisodeArrays, task: TaskState | None, robot: Embodiment) -> F32:
    """Compute [T, len(TERMS)]: reward from each step to the end, a step.

    Undiscounted return-to-go at the first action of the observation's chunk divided by the steps
    that remain. An episode ends where success came to stay; later steps have its last value.
    A term that the episode says nothing about is NaN: success without a label, progress without
    a task that reports it.
    """
    end = end_of(arrays, task)
    rewards = step_rewards(arrays, task, robot)[: end + 1]
    remaining = np.arange(end + 1, 0, -1)
    mean = np.cumsum(rewards[::-1], axis=0)[::-1] / remaining[:, None]
    held = np.repeat(mean[-1:], len(arrays.stamp_ns) - end - 1, axis=0)
    return np.concatenate([mean, held]).astype(np.float32)


def step_rewards(arrays: EpisodeArrays, task: TaskState | None, robot: Embodiment) -> F64:
    """Compute the rewards [T, len(TERMS)] of the step that follows each observation."""
    due = np.searchsorted(arrays.command_stamp_ns, arrays.stamp_ns, side="right")
    commands = arrays.commands[due.clip(max=len(arrays.commands) - 1)]
    commands = commands[:, arm_columns(robot.action)]
    state = _without_gaps(arrays.state[:, arm_columns(robot.state)])
    time_s = (arrays.stamp_ns - arrays.stamp_ns[0]) * 1e-9
    columns = {
        "success": _success(arrays),
        "steps_to_success": _at_success(arrays, task),
        "progress": _progress(arrays, task),
        "takeover": -_blamed(arrays).astype(np.float64),
    }
    for name, path in (("joint", state), ("action", commands)):
        velocity = _rate(np.asarray(path, np.float64), time_s)
        columns[f"{name}_velocity"] = -np.square(velocity).sum(axis=1)
        columns[f"{name}_acceleration"] = -np.square(_rate(velocity, time_s)).sum(axis=1)
    return np.stack([columns[term] for term in TERMS], axis=1)


def human_steps(arrays: EpisodeArrays) -> NDArray[np.bool_]:
    """Tell for each observation [T] whether a human commands the step that follows."""
    at = np.searchsorted(arrays.command_stamp_ns, arrays.stamp_ns, side="right")
    return np.asarray(arrays.authority[at.clip(max=len(arrays.authority) - 1)] == HUMAN)


def end_of(arrays: EpisodeArrays, task: TaskState | None) -> int:
    """Index of the observation at which success came to stay, else of the last one."""
    last = len(arrays.stamp_ns) - 1
    if arrays.success is not True or task is None or not task.success[-1]:
        return last
    unsolved = np.flatnonzero(~task.success)
    since_ns = task.stamp_ns[unsolved[-1] + 1 if len(unsolved) else 0]
    return min(int(np.searchsorted(arrays.stamp_ns, since_ns)), last)


def _success(arrays: EpisodeArrays) -> F64:
    value = float("nan") if arrays.success is None else float(arrays.success)
    return np.full(len(arrays.stamp_ns), value)


def _at_success(arrays: EpisodeArrays, task: TaskState | None) -> F64:
    reward = np.zeros(len(arrays.stamp_ns))
    if arrays.success is not False:
        reward[end_of(arrays, task)] = _success(arrays)[0]
    return reward


def _progress(arrays: EpisodeArrays, task: TaskState | None) -> F64:
    """Progress made between an observation and the next; a NaN repeats the value before it."""
    known = None if task is None else np.flatnonzero(np.isfinite(task.progress))
    if task is None or known is None or not len(known):
        return np.full(len(arrays.stamp_ns), np.nan)
    at = np.searchsorted(task.stamp_ns[known], arrays.stamp_ns, side="right") - 1
    value = task.progress[known][at.clip(min=0)]
    return np.append(np.diff(value), 0.0)


def _blamed(arrays: EpisodeArrays) -> NDArray[np.bool_]:
    """Steps in the second before a human takes over: what made the human step in."""
    human = human_steps(arrays)
    begins = arrays.stamp_ns[np.flatnonzero(human[1:] & ~human[:-1]) + 1]
    before_ns = begins[None] - arrays.stamp_ns[:, None]
    return np.asarray(~human & ((before_ns > 0) & (before_ns <= BLAME_NS)).any(axis=1))


def _rate(path: F64, time_s: F64) -> F64:
    return np.gradient(path, time_s, axis=0) if len(path) > 1 else np.zeros_like(path)


def _without_gaps(path: F32) -> F32:
    """Repeat the last finite row over rows that are not; all of them: unchanged."""
    finite = np.isfinite(path).all(axis=1)
    if not finite.any():
        return path
    at = np.maximum.accumulate(np.where(finite, np.arange(len(path)), 0))
    return path[np.where(finite[at], at, np.argmax(finite))]
