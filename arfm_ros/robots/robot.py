"""The robot as a value: groups of axes, each with its controller, its topics and its tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arfm_ros.core.errors import ConfigError

KINDS = ("arm", "gripper", "base", "other")
UNITS = ("rad", "m", "1")  # 1: the opening of a gripper, 0 closed, 1 open
INF = float("inf")


@dataclass(frozen=True, slots=True)
class RobotAxis:
    """One number that is measured and commanded, with its limits in its own unit.

    `name` is what policies, episodes and the arbiter say. A message may call it `published`, and
    `value = scale * message + offset` turns its number into ours.
    """

    name: str
    unit: str  # one of UNITS
    low: float
    high: float
    velocity: float  # unit/s
    acceleration: float  # unit/s^2
    home: float = 0.0
    margin: float = 0.0  # the command keeps so far from `low` and `high`
    tracking: float = INF  # largest |command - measured|; inf: not checked
    chunk_tolerance: float = 0.1  # an action this far beyond a limit is clipped, not refused
    slowdown: tuple[float, float, float, float] | None = None  # low, high, offset, deceleration
    published: str = ""  # "": the same name
    scale: float = 1.0
    offset: float = 0.0
    # joints of the URDF at k * value + b: name, k, b; the driven one first where it is not `name`
    mimics: tuple[tuple[str, float, float], ...] = ()

    @property
    def message_name(self) -> str:
        """The name of this axis in joint states and commands."""
        return self.published or self.name


@dataclass(frozen=True, slots=True)
class ControllerChoice:
    """Which controller a group has, and its settings (checked by the controller itself)."""

    kind: str  # crisp_joint, crisp_pose, jtc, forward_position, forward_velocity, ...
    options: Mapping[str, float | str | bool | tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Axes that one controller commands together."""

    name: str
    kind: str  # one of KINDS
    axes: tuple[RobotAxis, ...]
    controller: ControllerChoice
    state_topics: tuple[str, ...] = ("joint_states",)
    command_topics: Mapping[str, str] = field(default_factory=dict)  # role -> topic; none: default
    base: str = ""  # frame of the description that poses are given in; "": its root
    tool: str = ""  # frame of the tool; "": this group has none

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)


@dataclass(frozen=True, slots=True)
class RobotCamera:
    """A camera of the robot and the topic of its pictures."""

    name: str
    topic: str  # Image; CompressedImage where it ends in /compressed


@dataclass(frozen=True, slots=True)
class Robot:
    """A robot: its groups in the order of the command vector, its cameras, its description."""

    name: str
    groups: tuple[Group, ...]
    cameras: tuple[RobotCamera, ...] = ()
    description: str = field(default="", repr=False)  # URDF, expanded; "": not known yet
    # boxes of six numbers each, low and high corner, m in the base (several arms: in the root)
    workspace: tuple[float, ...] = ()  # that the tool stays in; (): anywhere
    keep_out: tuple[float, ...] = ()  # that the arm stays out of

    def __post_init__(self) -> None:
        if not self.groups:
            raise ConfigError(f"robot '{self.name}' has no groups, needs at least one")
        seen: dict[str, str] = {}
        for group in self.groups:
            for name in group.names:
                if name in seen:
                    raise ConfigError(
                        f"joint '{name}' is in two groups, {seen[name]} and {group.name}: "
                        "leave it in one"
                    )
                seen[name] = group.name

    @property
    def axes(self) -> tuple[RobotAxis, ...]:
        """All axes, in the order of the command vector."""
        return tuple(axis for group in self.groups for axis in group.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all axes."""
        return tuple(axis.name for axis in self.axes)

    def group(self, name: str) -> Group:
        """Return a group by name; raises `ConfigError` with the known names."""
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups)
        raise ConfigError(f"robot '{self.name}' has no group '{name}', it has: {known}")
