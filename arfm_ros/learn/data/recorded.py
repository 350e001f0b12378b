"""What episodes were recorded on: joints, cameras, how often something was commanded."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.core.values.spec import Axis
from arfm_ros.episodes.read.axes import AxisSeries, read_axes, tools_in
from arfm_ros.episodes.read.body import ToldBody, body_in
from arfm_ros.episodes.read.commands import commanded_axes
from arfm_ros.episodes.read.topics import OWN, Topics
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import cameras_of
from arfm_ros.learn.data.frames import FramesConfig, find_episodes
from arfm_ros.robots.embodiment import OPENING, Embodiment, default
from arfm_ros.robots.objects import seen_from


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an episode tells of its robot."""

    arm: tuple[str, ...]  # measured
    grippers: tuple[str, ...]  # measured, as openings 0..1
    commanded: tuple[str, ...]
    cameras: tuple[str, ...]
    command_ns: int  # median time between two commands of the axis that has most of them
    body: ToldBody | None = None  # what the episode itself tells of its axes

    @property
    def measured(self) -> tuple[str, ...]:
        """All that is measured."""
        return (*self.arm, *self.grippers)


def look_at(roots: Sequence[Path], topics: Topics = OWN) -> Recorded | None:
    """Look at the first episode below `roots` in which something was commanded."""
    for folder in find_episodes(roots):
        try:
            found = _look(EpisodeReader(folder), topics)
        except (EpisodeError, struct.error, ValueError, IndexError):  # reading it says why
            continue
        if found is not None:
            return found
    return None


def _look(reader: EpisodeReader, topics: Topics) -> Recorded | None:
    measured = read_axes(reader, topics.states, topics.received)
    sent = commanded_axes(reader, measured, topics)
    if not sent:
        return None
    tools = [name for name in tools_in(reader, topics) if name in measured]
    return Recorded(
        arm=tuple(name for name in measured if name not in tools),
        grippers=tuple(tools),
        commanded=tuple(sent),
        cameras=cameras_of(reader, topics),
        command_ns=min((_gap_ns(one) for one in sent.values() if len(one.value) > 1), default=0),
        body=body_in(reader),
    )


def _gap_ns(axis: AxisSeries) -> int:
    """Give the median time in which it is unknown what was commanded; a gripper's may be long."""
    return 0 if axis.linear else int(np.median(np.diff(axis.stamp_ns)))


def embodiment_of(recorded: Recorded | None, known: Mapping[str, Axis]) -> Embodiment:
    """Describe the robot that was recorded: its actions are what was commanded.

    An episode that tells of its axes is believed. Else the state is what of that was measured;
    limits and units are those in `known`, else the default robot's for its joints; other joints
    are in rad without limits. Raises `ConfigError` if nothing that was commanded is measured.
    """
    if recorded is not None and recorded.body is not None:
        return recorded.body.axes
    usual = default()
    names = set(usual.action_names)
    if recorded is None or set(recorded.commanded) == names <= set(recorded.measured):
        return usual  # in its one order, however it was recorded
    axes = {axis.name: axis for axis in usual.action} | dict(known)
    axes |= {name: Axis(name, OPENING, 0.0, 1.0) for name in recorded.grippers}
    action = tuple(axes.get(name, Axis(name)) for name in recorded.commanded)
    state = tuple(axis for axis in action if axis.name in recorded.measured)
    if not state:
        raise ConfigError(
            f"nothing of what was commanded ({_list(recorded.commanded)}) was measured: "
            f"joint_states have {_list(recorded.measured)}; use the same names for both"
        )
    return Embodiment(state, action)


def check_recorded(recorded: Recorded | None, config: FramesConfig, wanted_by: str) -> None:
    """Raise `ConfigError` naming all that frames read with `config` would lack in the episodes.

    `wanted_by` says whose wish that is, and how to wish for something else.
    """
    if recorded is None:
        return  # reading the episodes says what is wrong with each of them
    robot, wrong = config.robot, []
    cameras = tuple(name for name, _, _ in config.cameras)
    for what, needed, found in (
        ("cameras", cameras, recorded.cameras),
        ("states", robot.state_names, recorded.measured),
        ("actions", robot.action_names, recorded.commanded),
    ):
        missing = [name for name in needed if name not in found]
        if missing:
            wrong.append(f"{what} {_list(missing)} missing, recorded are {_list(found)}")
    if config.objects:
        try:
            seen_from(robot.state_names)
        except ConfigError as error:
            wrong.append(str(error))
    if 2 * recorded.command_ns > 3 * config.dt_ns:
        wrong.append(
            f"commands come every {recorded.command_ns / 1e6:g} ms, dt is {config.dt_ns / 1e6:g} "
            "ms: what was done in between is unknown"
        )
    if wrong:
        raise ConfigError(f"the episodes do not fit {wanted_by}: {'; '.join(wrong)}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
