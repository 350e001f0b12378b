"""Which of a robot's cameras and joints are which inputs of a network that somebody else trained.

A checkpoint of another library knows sizes but no joint names, and its own names for cameras; a
small YAML file says the rest:

    cameras: {base_0_rgb: scene, left_wrist_0_rgb: wrist}   # the network's name: the robot's
    state: [fr3_joint1, fr3_joint2, gripper]                # or {the network's name: [...], ...}
    actions: [fr3_joint1, fr3_joint2, gripper]
    relative: [fr3_joint1, fr3_joint2]                      # offsets from the measured state
    dt_s: 0.05
    instruction: lift the red cube

Actions that are no joint positions have spaces (docs/robots.md) of a robot in place of names:

    robot: fr3
    spaces: [{group: arm, space: tool_pose, reference: previous, rotation: axis_angle, ...}, ...]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arfm_ros.core.errors import ConfigError, SpecError
from arfm_ros.core.values.normalize import Affine
from arfm_ros.core.values.spec import Axis, CameraInput, PolicySpec
from arfm_ros.core.values.spec_reading import Plain, action_spaces
from arfm_ros.robots.actions.axes import space_axes
from arfm_ros.robots.actions.spaces import RobotActions, read_actions
from arfm_ros.robots.files.load import load_robot

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Interface:
    """What `read_interface` read."""

    cameras: Mapping[str, str]  # the network's name -> the robot's
    state: Mapping[str, tuple[str, ...]]  # the network's name -> axes; "" for a single vector
    actions: tuple[str, ...]
    dt_s: float
    instruction: str
    relative: tuple[str, ...] = ()  # actions that are offsets from the measured state
    image_size: tuple[int, int] = (224, 224)  # height, width of what is sent to a server
    robot: str = ""  # of config/robots, or a YAML: whose groups the spaces name
    spaces: tuple[Mapping[str, Plain], ...] = ()  # of the actions; (): positions of axes
    extra: Mapping[str, Any] = field(default_factory=dict)  # of a server, or of openpi's files

    def __post_init__(self) -> None:
        unknown = [name for name in self.relative if name not in self.actions]
        if unknown:
            raise ConfigError(
                f"relative names {', '.join(unknown)}, actions are: {', '.join(self.actions)}"
            )
        if self.relative and self.spaces:
            raise ConfigError("actions have spaces: their option reference replaces relative")
        if not self.dt_s > 0:
            raise ConfigError(f"dt_s is {self.dt_s}, needs the seconds between two actions")

    @property
    def state_names(self) -> tuple[str, ...]:
        """All axes of the state, in order."""
        return tuple(axis for axes in self.state.values() for axis in axes)

    def spec(self, name: str, horizon: int, cameras: tuple[CameraInput, ...]) -> PolicySpec:
        """Make a specification without normalisation and without real-time chunking."""
        size, count = len(self.state_names), len(self.actions)
        return PolicySpec(
            name=name,
            cameras=cameras,
            state=tuple(_axis(axis) for axis in self.state_names),
            action=space_axes(self.read()) if self.spaces else tuple(map(_axis, self.actions)),
            horizon=horizon,
            dt_ns=round(self.dt_s * NS),
            state_norm=unit((size,)),
            action_norm=unit((horizon, count)),
            relative=tuple(axis in self.relative for axis in self.actions),
            instructions={"example": self.instruction},
            actions=self.spaces,
        )

    def read(self) -> RobotActions:
        """Make the spaces; raises `ConfigError` naming what the robot does not have."""
        from arfm_ros.robots.kinematics.arm import ArmKinematics  # needed by poses alone

        robot = load_robot(self.robot)
        return read_actions(self.spaces, robot, lambda group: ArmKinematics(robot, group))


def unit(shape: tuple[int, ...]) -> Affine:
    """Make the normalisation that changes nothing."""
    return Affine(np.zeros(shape, np.float32), np.ones(shape, np.float32))


def read_interface(path: Path) -> Interface:
    """Read a YAML file. Raises `ConfigError` naming what is missing, unknown or malformed."""
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    known = [one.name for one in fields(Interface)]
    needed = known[:5]
    if isinstance(raw, dict) and "spaces" in raw:
        raw = {**raw, "actions": _names(raw, path)}
    if not isinstance(raw, dict) or not set(needed) <= raw.keys() <= set(known):
        have = ", ".join(map(str, raw)) if isinstance(raw, dict) else "no names at all"
        more = ", ".join(known[5:])
        raise ConfigError(f"{path} has {have}; needs {', '.join(needed)}; may have {more}")
    try:
        return _interface(raw)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is malformed: {error}") from error


def _interface(raw: dict[str, Any]) -> Interface:
    state = raw["state"] if isinstance(raw["state"], dict) else {"": raw["state"]}
    return Interface(
        cameras={str(k): str(v) for k, v in raw["cameras"].items()},
        state={str(k): tuple(map(str, axes)) for k, axes in state.items()},
        actions=tuple(map(str, raw["actions"])),
        dt_s=float(raw["dt_s"]),
        instruction=str(raw["instruction"]),
        relative=tuple(map(str, raw.get("relative", ()))),
        image_size=tuple(map(int, raw.get("image_size", (224, 224)))),  # type: ignore[arg-type]
        extra=dict(raw.get("extra", {})),
        robot=str(raw.get("robot", "")),
        spaces=action_spaces(raw.get("spaces", [])),
    )


def _names(raw: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Name the actions of the file's spaces on its robot."""
    if not raw.get("robot"):
        raise ConfigError(f"{path} has spaces: say of which robot (robot: NAME)")
    try:
        spaces = action_spaces(raw["spaces"])
    except SpecError as error:
        raise ConfigError(f"{path}: {error}") from error
    probe = Interface({}, {}, (), 1.0, "", robot=str(raw["robot"]), spaces=spaces)
    names = probe.read().names
    given = tuple(map(str, raw.get("actions", names)))
    if given != names:
        raise ConfigError(
            f"{path}: actions are {', '.join(given)}; those of its spaces are {', '.join(names)}"
        )
    return names


def _axis(name: str) -> Axis:
    """Joints are in rad without limits of their own, the gripper runs from 0 to 1."""
    return Axis(name, "1", 0.0, 1.0) if name == "gripper" else Axis(name)
