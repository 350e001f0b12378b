"""The ROS graph around the arbiter as a plain value, and what a preflight finds in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a preflight found; with a FAIL nothing should be engaged."""

    severity: str  # OK, WARN or FAIL
    text: str  # what came and what was needed
    knob: str = ""  # what to turn


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A publisher or subscriber of a topic."""

    node: str  # /namespace/name
    type_name: str  # package/msg/Type
    reliable: bool = True
    latched: bool = False  # transient local


@dataclass(frozen=True, slots=True)
class TopicEnds:
    """Who is on a topic; for an action the servers are its subscribers."""

    publishers: tuple[Endpoint, ...] = ()
    subscribers: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class HeardJoints:
    """Joint states of one topic over some time."""

    topic: str
    names: tuple[str, ...]
    positions: tuple[float, ...]  # of the newest message, in its numbers
    rate_hz: float
    skew_s: float  # median of our clock at receipt - stamp; large: old, negative: future


@dataclass(frozen=True, slots=True)
class ControllerInfo:
    """A controller as the controller manager lists it; parameters as far as they are known."""

    name: str
    kind: str  # plugin, such as joint_trajectory_controller/JointTrajectoryController
    state: str  # active, inactive, unconfigured
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """What is known of the graph; names of topics are resolved, with a leading slash."""

    node: str  # our own, /namespace/name
    topics: Mapping[str, TopicEnds] = field(default_factory=dict)
    joints: tuple[HeardJoints, ...] = ()
    controllers: tuple[ControllerInfo, ...] | None = None  # None: no controller manager heard
    namespace: str = "/"  # relative names of topics start here

    def resolve(self, name: str) -> str:
        """Return the full name of a topic; `~` and remappings are the caller's to resolve."""
        return name if name.startswith("/") else f"{self.namespace.rstrip('/')}/{name}"

    def ends(self, name: str) -> TopicEnds:
        """Return who is on a topic, nobody where it is unknown."""
        return self.topics.get(self.resolve(name), TopicEnds())

    def controller(self, name: str) -> ControllerInfo | None:
        """Return a controller by name, None where it is not there or nothing is known."""
        known = self.controllers or ()
        return next((one for one in known if one.name == name), None)
