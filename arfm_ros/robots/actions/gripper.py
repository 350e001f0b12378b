"""Actions of a gripper: its opening on any scale, its width, or open and closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arfm_ros.core.errors import ConfigError
from arfm_ros.robots.actions.options import rows
from arfm_ros.robots.robot import Group

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OpeningOptions:
    """What an action says when the gripper is closed and when it is open."""

    closed: float = 0.0
    open: float = 1.0

    def __post_init__(self) -> None:
        if self.closed == self.open:
            raise ConfigError(f"gripper_opening is {self.open} both when closed and when open")


@dataclass(frozen=True, slots=True)
class WidthOptions:
    """The width of the open gripper."""

    width_m: float

    def __post_init__(self) -> None:
        if not self.width_m > 0.0:
            raise ConfigError(f"width_m of gripper_width is {self.width_m}, needs more than 0")


@dataclass(frozen=True, slots=True)
class BinaryOptions:
    """An opening, above which it opens and below which it closes; between it stays as it is."""

    closed: float = 0.0
    open: float = 1.0
    close_below: float = 0.4
    open_above: float = 0.6

    def __post_init__(self) -> None:
        if self.closed == self.open:
            raise ConfigError(f"gripper_binary is {self.open} both when closed and when open")
        if not 0.0 <= self.close_below <= self.open_above <= 1.0:
            raise ConfigError(
                f"gripper_binary closes below {self.close_below} and opens above "
                f"{self.open_above}, needs 0 <= close_below <= open_above <= 1"
            )


class GripperOpening:
    """Openings of the group's axes, 0 closed to 1 open, clipped."""

    def __init__(self, group: Group, options: OpeningOptions | WidthOptions) -> None:
        self.group, self.options = group, options
        if isinstance(options, WidthOptions):
            self.names = tuple(f"{name}.width" for name in group.names)
            self._closed, self._open = 0.0, options.width_m
        else:
            self.names = group.names
            self._closed, self._open = options.closed, options.open

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return the openings [H, A]."""
        values = rows(actions, len(self.names), "gripper actions")
        return np.clip((values - self._closed) / (self._open - self._closed), 0.0, 1.0)

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, A] for openings."""
        openings = rows(path, len(self.names), "path")
        return (self._closed + openings * (self._open - self._closed)).astype(np.float32)


class GripperBinary:
    """Open or closed, with a dead band, so that a value in doubt does not make it flutter."""

    def __init__(self, group: Group, options: BinaryOptions) -> None:
        self.group, self.options, self.names = group, options, group.names

    def to_joints(self, actions: ArrayLike, q: F64) -> F64:
        """Return openings [H, A] of 0 and 1; in the dead band what was before, at first q [A]."""
        how = self.options
        values = rows(actions, len(self.names), "gripper actions")
        wide = (values - how.closed) / (how.open - how.closed)
        path, at = np.empty_like(wide), np.where(np.asarray(q) > 0.5, 1.0, 0.0)
        for i, value in enumerate(wide):
            at = np.where(value > how.open_above, 1.0, np.where(value < how.close_below, 0.0, at))
            path[i] = at
        return path

    def from_joints(self, path: ArrayLike, q: F64) -> F32:
        """Return the actions [H, A]: open for openings above a half, else closed."""
        openings = rows(path, len(self.names), "path")
        how = self.options
        return np.where(openings > 0.5, how.open, how.closed).astype(np.float32)
