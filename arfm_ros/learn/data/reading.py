"""Read episodes one after the other: what was seen and done, and what is learned from."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from arfm_ros.core.errors import EpisodeError
from arfm_ros.core.values.data import F32
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.task_state import read_task_state
from arfm_ros.episodes.windows import EpisodeArrays, Wanted, read_windows
from arfm_ros.learn.data.drove import Drove, who_drove
from arfm_ros.learn.data.interventions import OTHER, Kinds, judged, kinds_of
from arfm_ros.learn.data.usable import usable_steps
from arfm_ros.learn.signals.rewards import end_of, returns_to_go

if TYPE_CHECKING:
    from arfm_ros.learn.data.frames import FramesConfig

NOTHING: NDArray[np.int8] = np.zeros(0, np.int8)
PARALLEL = 4  # episodes read at a time: bounds the memory, not the number of cores


@dataclass(frozen=True, slots=True)
class EpisodeRead:
    """An episode, and which of its observations are learned from."""

    arrays: EpisodeArrays
    returns: F32  # [T, len(TERMS)]
    keep: NDArray[np.int64]  # observations that are learned from
    kinds: Kinds  # [T]; [0] where all are alike
    drove: Drove | None = None


def read_all(folders: Sequence[Path], config: FramesConfig) -> Iterator[EpisodeRead | str]:
    """Give each episode, or why it is left out, in their order; a few at a time are in memory."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in track(range(0, len(folders), PARALLEL), "reading episodes"):
            part = folders[start : start + PARALLEL]
            yield from pool.map(partial(_read, config=config), part)


def _read(folder: Path, config: FramesConfig) -> EpisodeRead | str:
    """Read one episode, or say why it is left out."""
    try:
        reader = EpisodeReader(folder)
        if reader.damage:
            return f"{folder.name}: {reader.damage[0]}"
        return _chosen(reader, read_windows(reader, _wanted(config)), config)
    except (EpisodeError, struct.error, ValueError, IndexError) as error:  # a damaged message
        return f"{folder.name}: {error}"


def _chosen(reader: EpisodeReader, arrays: EpisodeArrays, config: FramesConfig) -> EpisodeRead:
    """Choose the observations that are learned from."""
    task, keep = read_task_state(reader), usable_steps(arrays, config)
    returns = returns_to_go(arrays, task, config.robot)
    if config.interventions is None:
        return EpisodeRead(arrays, returns, keep, NOTHING)
    drove = who_drove(reader, arrays.command_stamp_ns)
    success_ns = int(arrays.stamp_ns[end_of(arrays, task)]) if arrays.success else None
    kinds = kinds_of(arrays, drove, success_ns, config)
    return EpisodeRead(arrays, judged(returns, kinds), keep[kinds[keep] != OTHER], kinds, drove)


def _wanted(config: FramesConfig) -> Wanted:
    cameras = {name: (height, width) for name, height, width in config.cameras}
    robot = config.robot
    names = (robot.state_names, robot.action_names)
    return Wanted(cameras, *names, config.dt_ns, config.objects, config.topics)
