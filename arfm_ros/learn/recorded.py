"""What episodes were recorded on: joints, cameras, how often something was commanded."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arfm_ros.control import fr3
from arfm_ros.control.embodiment import FR3, OPENING, Embodiment
from arfm_ros.core.errors import ConfigError, EpisodeError
from arfm_ros.core.spec import Axis
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import JointSeries, joints
from arfm_ros.learn.frames import FramesConfig, find_episodes

IMAGES = ("/image_raw", "/image_raw/compressed")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an episode tells of its robot."""

    arm: tuple[str, ...]  # measured, as on `joint_states`
    grippers: tuple[str, ...]  # measured, as on `gripper/joint_states`
    commanded: tuple[str, ...]  # as on `arbiter/command`
    cameras: tuple[str, ...]
    command_ns: int  # median time between two commands

    @property
    def measured(self) -> tuple[str, ...]:
        """All that is measured."""
        return (*self.arm, *self.grippers)


def look_at(roots: Sequence[Path]) -> Recorded | None:
    """Look at the first episode below `roots` in which something was commanded."""
    for folder in find_episodes(roots):
        try:
            found = _look(EpisodeReader(folder))
        except (EpisodeError, struct.error, ValueError, IndexError):  # reading it says why
            continue
        if found is not None:
            return found
    return None


def _look(reader: EpisodeReader) -> Recorded | None:
    sent = joints(reader, "arbiter/command")
    if sent is None:
        return None
    grippers = _names(joints(reader, "gripper/joint_states"))
    # the gripper's topic ends like the arm's: what it names is no joint of the arm
    arm = [n for n in _names(joints(reader, "joint_states")) if n not in grippers]
    gaps = np.diff(sent.stamp_ns)
    return Recorded(
        arm=tuple(arm),
        grippers=grippers,
        commanded=sent.names,
        cameras=_cameras(reader),
        command_ns=int(np.median(gaps)) if len(gaps) else 0,
    )


def _names(series: JointSeries | None) -> tuple[str, ...]:
    return () if series is None else series.names


def _cameras(reader: EpisodeReader) -> tuple[str, ...]:
    ends = [(topic, end) for topic in reader.topics for end in IMAGES if topic.endswith(end)]
    return tuple(sorted({topic.removesuffix(end).rpartition("/")[2] for topic, end in ends}))


def embodiment_of(recorded: Recorded | None, known: Mapping[str, Axis]) -> Embodiment:
    """Describe the robot that was recorded: its actions are what was commanded.

    The state is what of that was measured. Limits and units are those in `known`, else the FR3's
    for its joints; other joints are in rad without limits. Raises `ConfigError` if nothing that
    was commanded is measured.
    """
    names = set(FR3.action_names)
    if recorded is None or set(recorded.commanded) == names <= set(recorded.measured):
        return FR3  # in its one order, however it was recorded
    axes = {axis.name: axis for axis in FR3.action} | dict(known)
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
    if config.objects and robot.state_names[: fr3.DOF] != fr3.JOINT_NAMES:
        wrong.append(
            f"objects are seen from the tool of {_list(fr3.JOINT_NAMES)}, the state begins with "
            f"{_list(robot.state_names[: fr3.DOF])}"
        )
    if 2 * recorded.command_ns > 3 * config.dt_ns:
        wrong.append(
            f"commands come every {recorded.command_ns / 1e6:g} ms, dt is {config.dt_ns / 1e6:g} "
            "ms: what was done in between is unknown"
        )
    if wrong:
        raise ConfigError(f"the episodes do not fit {wanted_by}: {'; '.join(wrong)}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
