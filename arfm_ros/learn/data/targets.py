"""What a network learns to say of an episode: chunks of commands, and where they lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.values.data import F32
from arfm_ros.episodes.windows import EpisodeArrays, action_chunk
from arfm_ros.robots.embodiment import Embodiment, gripper_columns


def chunks_of(arrays: EpisodeArrays, keep: NDArray[np.int64], horizon: int, dt_ns: int) -> F32:
    """Give the commands [N, H, A] that follow the observations `keep` [N]."""
    chunks = [action_chunk(arrays, int(i), horizon, dt_ns) for i in keep]
    return np.stack(chunks).astype(np.float32)


def keyframes(arrays: EpisodeArrays, robot: Embodiment) -> F32:
    """Command [T, A] at the next time a gripper command changes side, else the last command."""
    closed = arrays.commands[:, gripper_columns(robot.action)] < 0.5
    switch = np.flatnonzero((closed[1:] != closed[:-1]).any(axis=1))
    stops = np.append(switch, len(arrays.commands) - 1)
    at = np.searchsorted(arrays.command_stamp_ns[stops], arrays.stamp_ns)
    return arrays.commands[stops[at.clip(max=len(stops) - 1)]].astype(np.float32)
