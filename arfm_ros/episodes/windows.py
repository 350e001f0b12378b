"""An episode as arrays for training: what was seen, what was commanded, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.episodes.read.axes import AxisSeries, pick, read_axes
from arfm_ros.episodes.read.commands import read_commands
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import decode_image, image_topic, resized, texts
from arfm_ros.episodes.task_state import TaskState, read_task_state
from arfm_ros.episodes.words import instruction_of, success_of
from arfm_ros.robots.objects import object_state

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
APART_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of an episode becomes arrays.

    The state is that of the joints `state`, then the `objects` (`<object>_x`, see
    `robots/objects.py`) as `task/state` tells of them; the arm's joints come first for these.
    Frames that follow the one before by less than half of `dt_ns` are left out (a camera that is
    much faster than the policy).
    """

    cameras: Mapping[str, tuple[int, int]]  # name -> height, width
    state: Sequence[str]
    action: Sequence[str]
    dt_ns: int = 0
    objects: Sequence[str] = ()
    topics: Topics = OWN


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeArrays:
    """One episode; an observation is a frame of the first camera with what was newest then.

    Without cameras it is a message of `task/state`.
    """

    images: Mapping[str, U8]  # camera -> [T, H, W, 3] RGB
    state: F32  # [T, S]
    stamp_ns: I64  # [T]
    commands: F32  # [M, A], what was sent to the controller
    command_stamp_ns: I64  # [M]
    authority: NDArray[np.str_]  # [M], who commanded
    instruction: str
    success: bool | None
    task: str
    folder: Path


def read_episode(
    folder: Path,
    cameras: Mapping[str, tuple[int, int]],
    state_names: Sequence[str],
    action_names: Sequence[str],
    dt_ns: int = 0,
    objects: Sequence[str] = (),
) -> EpisodeArrays:
    """Read an episode of our own; `cameras` maps names to (height, width). See `read_windows`."""
    wanted = Wanted(cameras, state_names, action_names, dt_ns, objects)
    return read_windows(EpisodeReader(Path(folder)), wanted)


def read_windows(reader: EpisodeReader, wanted: Wanted) -> EpisodeArrays:
    """Read what is wanted of one episode. Frames before every input has arrived are left out.

    Raises `EpisodeError` naming the camera, joint or command that is missing.
    """
    topics, objects = wanted.topics, wanted.objects
    frames = {n: _frames(reader, n, size, topics) for n, size in wanted.cameras.items()}
    task = None if frames and not objects else _task_state(reader)
    stamps = _instants([*(rows[0] for rows in frames.values()), *_clock(task)], wanted.dt_ns)
    measured = read_axes(reader, topics.states, topics.received)
    stamps, state = _robot_states(pick(measured, wanted.state), stamps)
    if not stamps.size:
        raise EpisodeError(
            f"{reader.folder} has no instant with every camera and the state: too short"
        )
    if task is not None:
        state = _with_objects(state, wanted, task, stamps, reader)
    commands, command_ns = read_commands(reader, wanted.action, measured, topics)
    _check_clocks(reader, stamps, command_ns)
    label = reader.label()
    return EpisodeArrays(
        images={camera: _newest(*rows, stamps) for camera, rows in frames.items()},
        state=state,
        stamp_ns=stamps,
        commands=commands,
        command_stamp_ns=command_ns,
        authority=held(texts(reader, "arbiter/authority"), command_ns),
        instruction=instruction_of(reader, topics),
        success=success_of(reader, label, topics),
        task=str(label.get("task", topics.task)),
        folder=reader.folder,
    )


def action_chunk(arrays: EpisodeArrays, i: int, horizon: int, dt_ns: int) -> F32:
    """Give the commands [horizon, A] at `stamp_ns[i] + (k + 1) * dt_ns`.

    Linear between commands; before the first and after the last they are held.
    """
    due = arrays.stamp_ns[i] + (np.arange(horizon) + 1) * dt_ns
    begin = arrays.command_stamp_ns[0]
    at, known = due - begin, arrays.command_stamp_ns - begin  # small: exact as floats
    columns = [np.interp(at, known, column) for column in arrays.commands.T]
    return np.stack(columns, axis=1).astype(np.float32)


def held(said: Sequence[tuple[int, str]], at_ns: I64) -> NDArray[np.str_]:
    """Give the text that was in force at each instant; empty before the first."""
    stamps = np.array([stamp for stamp, _ in said], dtype=np.int64)
    values = np.array(["", *(text for _, text in said)])
    return values[np.searchsorted(stamps, at_ns, side="right")]


def _frames(
    reader: EpisodeReader, camera: str, size: tuple[int, int], topics: Topics
) -> tuple[I64, list[U8]]:
    """Decode and shrink every frame at once: raw ones of a whole episode would fill the memory."""
    topic = image_topic(reader, camera, topics)
    frames = [
        (
            record.log_time_ns if topics.received else stamp_ns(record),
            resized(decode_image(record), *size),
        )
        for record in reader.records({topic})
    ]
    frames.sort(key=lambda frame: frame[0])
    return np.array([stamp for stamp, _ in frames], dtype=np.int64), [rgb for _, rgb in frames]


def _newest(stamps: I64, frames: Sequence[U8], at_ns: I64) -> U8:
    """Take the newest frame at or before each instant."""
    return np.stack([frames[n] for n in np.searchsorted(stamps, at_ns, side="right") - 1])


def _task_state(reader: EpisodeReader) -> TaskState:
    task = read_task_state(reader)
    if task is None:
        raise EpisodeError(
            f"{reader.folder} has no task/state: a policy without cameras sees objects by it"
        )
    return task


def _robot_states(series: Sequence[AxisSeries], stamps: I64) -> tuple[I64, F32]:
    """Give those of the instants from where every joint is known on, and the state [T, S] then."""
    newest = [one.newest(stamps) for one in series]
    ready = np.all([n >= 0 for n in newest], axis=0)
    columns = [one.value[n[ready]] for one, n in zip(series, newest)]
    return stamps[ready], np.stack(columns, axis=1).astype(np.float32)


def _check_clocks(reader: EpisodeReader, seen_ns: I64, told_ns: I64) -> None:
    """Raise `EpisodeError` where what was seen and what was commanded have two clocks."""
    apart_ns = max(told_ns[0] - seen_ns[-1], seen_ns[0] - told_ns[-1])
    if apart_ns > APART_NS:
        raise EpisodeError(
            f"{reader.folder}: commands and observations are {apart_ns / 1e9:.0f} s apart, as of "
            "two clocks; take the recorder's for all (times: received in the topic map)"
        )


def _clock(task: TaskState | None) -> list[I64]:
    return [] if task is None else [task.stamp_ns]


def _with_objects(
    state: F32, wanted: Wanted, task: TaskState, stamp_ns: I64, reader: EpisodeReader
) -> F32:
    if not wanted.objects:
        return state
    at = np.searchsorted(task.stamp_ns, stamp_ns, side="right") - 1
    try:
        poses = {name: p[at] for name, p in task.poses.items()}
        seen = object_state(wanted.objects, state, wanted.state, poses)
    except ConfigError as error:
        raise EpisodeError(f"{reader.folder}: {error} in task/state") from error
    return np.hstack([state, seen])


def _instants(stamps: Sequence[I64], dt_ns: int) -> I64:
    """Take the first camera's stamps from where every camera has a frame on."""
    if any(not s.size for s in stamps):
        return np.empty(0, dtype=np.int64)
    begin = max(s[0] for s in stamps)
    kept: list[int] = []
    for stamp in stamps[0][stamps[0] >= begin].tolist():
        if not kept or 2 * (stamp - kept[-1]) >= dt_ns:
            kept.append(stamp)
    return np.array(kept, dtype=np.int64)
