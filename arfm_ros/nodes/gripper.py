"""How a gripper names and scales its state and its command, on the wire; inside it is 0..1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from arfm_ros.control import fr3
from arfm_ros.core.errors import ConfigError
from arfm_ros.nodes.params import knob

ALIASES = ("gripper_joint", "gripper")  # of a state 0 closed .. 1 open: CRISP's, and ours before


@dataclass(frozen=True)
class GripperParams:
    """The gripper's names and numbers; the defaults are those of CRISP's Franka hand adapter."""

    gripper_joints: tuple[str, ...] = knob(
        (ALIASES[0],), "joints of the gripper's state; of several the positions add up"
    )
    gripper_closed: float = knob(0.0, "their position when it is closed")
    gripper_open: float = knob(1.0, "their position when it is open, such as 0.08 for metres")
    gripper_command_closed: float = knob(0.0, "the command that closes it")
    gripper_command_open: float = knob(1.0, "the command that opens it")

    def __post_init__(self) -> None:
        if self.gripper_open == self.gripper_closed:
            raise ConfigError(f"gripper_open and gripper_closed are both {self.gripper_open}")

    def opening(self, positions: Mapping[str, float]) -> float | None:
        """Return the opening 0..1 that joint positions by name tell; None where they do not.

        A name that the state's publisher had before counts where the present one is missing.
        """
        if all(name in positions for name in self.gripper_joints) and self.gripper_joints:
            raw = sum(positions[name] for name in self.gripper_joints)
            return (raw - self.gripper_closed) / (self.gripper_open - self.gripper_closed)
        return next((positions[name] for name in ALIASES if name in positions), None)

    def command(self, opening: float) -> float:
        """Return what to command for an opening 0..1."""
        closed, opened = self.gripper_command_closed, self.gripper_command_open
        return closed + opening * (opened - closed)

    def named(self, positions: Mapping[str, float]) -> Mapping[str, float]:
        """Add the opening under the gripper's own name to joint positions by name."""
        opening = self.opening(positions)
        return positions if opening is None else {**positions, fr3.GRIPPER_NAME: opening}
