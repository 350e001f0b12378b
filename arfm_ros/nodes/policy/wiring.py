"""Which topics feed a policy, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.values.senses import Size, Stillness
from arfm_ros.core.values.sync import Input
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.axis_reader import AxisReader


@dataclass(frozen=True, slots=True)
class Sample:
    """A serialized message and when it was received."""

    cdr: bytes
    received_ns: int


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which topics feed the policy and what is asked of them."""

    cameras: Mapping[str, topics.Topic]  # camera name -> topic
    states: tuple[str, ...]  # names of JointState topics
    reader: AxisReader  # what they say about the robot
    tolerance_ns: int = 40_000_000
    max_age_ns: int = 300_000_000
    min_camera_hz: float = 0.0
    min_state_hz: float = 0.0
    limit_tolerance: float = 0.05  # share of an axis' range that a state may be beyond it
    sizes: Mapping[str, Size] = field(default_factory=dict)  # camera name -> height, width
    stillness: Stillness = Stillness()

    def inputs(self) -> list[Input]:
        """List the inputs that have to come together."""
        slow, knob = self.min_camera_hz, "min_camera_hz"
        cameras = [Input(name, f"camera {name}", slow, knob) for name in self.cameras]
        return cameras + self.state_inputs()

    def state_inputs(self) -> list[Input]:
        """List the inputs that are the robot's state; a gripper's may be of another time."""
        slow, knob, loose = self.min_state_hz, "min_state_hz", self.reader.grippers
        return [
            Input(name, name, 0.0 if name in loose else slow, knob, name in loose)
            for name in self.states
        ]


def camera_sizes(entries: tuple[str, ...]) -> dict[str, Size]:
    """Read `name=WIDTHxHEIGHT` entries. Raises `ConfigError` for anything else."""
    found = {}
    for entry in entries:
        name, _, size = (part.strip() for part in entry.partition("="))
        width, _, height = size.partition("x")
        if not name or not (width.isdecimal() and height.isdecimal()) or name in found:
            raise ConfigError(f"camera_sizes has '{entry}', needs entries like 'wrist=640x480'")
        found[name] = (int(height), int(width))
    return found
