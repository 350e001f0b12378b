"""The rows of an episode: all that a dataset says about it but its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EpisodeError
from arfm_ros.core.safety.decision import HUMAN
from arfm_ros.datasets.resample import F32, I64, Resampling, picked, resampled, rows_of
from arfm_ros.datasets.wishes import human_wishes, policy_wishes
from arfm_ros.episodes.read.axes import AxisSeries, read_axes, tools_in
from arfm_ros.episodes.read.commands import commanded_axes
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import cameras_of, image_topic, texts
from arfm_ros.episodes.task_state import read_task_state
from arfm_ros.episodes.words import instruction_of, success_of

BOOLS = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shot:
    """A camera: its topic, its frames' stamps in file order [N], which of them each row has."""

    topic: str
    stamp_ns: I64  # [N]
    frame: I64  # [T], indices into the file's order


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """T rows at `stamp_ns`; the action of one is due a period later."""

    stamp_ns: I64  # [T]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    state: F32  # [T, S]
    sent: F32  # [T, A], what the robot was sent
    policy: F32  # [T, A], NaN where it wanted nothing
    human: F32  # [T, A], likewise
    intervention: BOOLS  # [T], a human was in charge
    solved: BOOLS  # [T], the task is solved after the row
    success: bool | None
    instruction: str
    task: str
    authority: tuple[tuple[int, str], ...]  # from this stamp on
    shots: Mapping[str, Shot]
    folder: Path
    tools: tuple[str, ...] = ()  # axes that are openings


def read_rows(reader: EpisodeReader, how: Resampling, topics: Topics = OWN) -> Rows:
    """Read an episode's rows. Raises `EpisodeError` naming what is missing."""
    measured = read_axes(reader, topics.states, topics.received)
    commanded = commanded_axes(reader, measured, topics)
    if not measured or not commanded:
        raise EpisodeError(f"{reader.folder} has no {'commands' if measured else 'joint states'}")
    seen = {n: _stamps(reader, image_topic(reader, n, topics), topics) for n in
            cameras_of(reader, topics)}  # fmt: skip
    seen = {name: found for name, found in seen.items() if len(found[1])}
    at_ns = _rows(reader, seen, measured, how)
    due_ns = at_ns + how.period_ns
    names, told = tuple(commanded), read_told(reader)
    label = reader.label()
    success = success_of(reader, label, topics)
    return Rows(
        stamp_ns=at_ns,
        state_names=tuple(measured),
        action_names=names,
        state=_table([resampled(one, at_ns, how.state) for one in measured.values()]),
        sent=_table([resampled(one, due_ns, how.action) for one in commanded.values()]),
        policy=policy_wishes(reader, names, due_ns),
        human=human_wishes(reader, names, due_ns),
        intervention=np.array([who == HUMAN for who in held(told, due_ns)], np.bool_),
        solved=_solved(reader, due_ns, success),
        success=success,
        instruction=instruction_of(reader, topics),
        task=str(label.get("task", topics.task)),
        authority=tuple(told),
        shots={name: _shot(*found, at_ns, how) for name, found in seen.items()},
        folder=reader.folder,
        tools=tools_in(reader, topics),
    )


def read_told(reader: EpisodeReader) -> list[tuple[int, str]]:
    """Give who was in charge from when on; the same word is told once."""
    changes: list[tuple[int, str]] = []
    for stamp, word in texts(reader, "arbiter/authority"):
        if not changes or changes[-1][1] != word:
            changes.append((stamp, word))
    return changes


def held(said: Sequence[tuple[int, str]], at_ns: I64) -> list[str]:
    """Give the word that was in force at each instant; '' before the first."""
    stamps = np.array([stamp for stamp, _ in said], np.int64)
    words = ["", *(word for _, word in said)]
    return [words[n] for n in np.searchsorted(stamps, at_ns, side="right")]


def _stamps(reader: EpisodeReader, topic: str, topics: Topics) -> tuple[str, I64]:
    records = reader.records({topic})
    found = [r.log_time_ns if topics.received else stamp_ns(r) for r in records]
    return topic, np.array(found, np.int64)


def _rows(
    reader: EpisodeReader,
    seen: Mapping[str, tuple[str, I64]],
    measured: Mapping[str, AxisSeries],
    how: Resampling,
) -> I64:
    cameras = [np.sort(stamps) for _, stamps in seen.values()]
    starts = [s[0] for s in cameras] + [one.stamp_ns[0] for one in measured.values()]
    clock = cameras[0] if cameras else max((s.stamp_ns for s in measured.values()), key=len)
    rows = rows_of(clock, int(max(starts)), how)
    if not len(rows):
        raise EpisodeError(f"{reader.folder} has no instant with every camera and the state")
    return rows


def _shot(topic: str, stamps: I64, at_ns: I64, how: Resampling) -> Shot:
    order = np.argsort(stamps, kind="stable")
    return Shot(topic, stamps, order[picked(stamps[order], at_ns, how.images)])


def _solved(reader: EpisodeReader, due_ns: I64, success: bool | None) -> BOOLS:
    """Tell after which rows the task was solved: by its word, else by the label at the end."""
    task = read_task_state(reader)
    if task is None:
        return np.arange(len(due_ns)) == (len(due_ns) - 1 if success else -1)
    newest = np.searchsorted(task.stamp_ns, due_ns, side="right") - 1
    solved = np.where(newest >= 0, task.success[newest.clip(min=0)], False)
    solved[-1] = bool(success)  # the label has the last word
    return np.asarray(solved, np.bool_)


def _table(columns: Sequence[NDArray[np.float64]]) -> F32:
    return np.stack(columns, axis=1).astype(np.float32)
