"""A ros2_control forward command controller on velocity interfaces: bare velocities, every tick.

What it does not allow: it keeps the last velocity for ever (`ForwardControllersBase::update` has
no timeout), so an arm whose sender dies in motion drives on until its driver stops it. Nothing
that is sent here can bound that; `driver_timeout_s` says how soon the driver does, and the
preflight judges it. What is sent is exactly 0 whenever the stream holds, and once more at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arfm_ros.core.errors import ConfigError
from arfm_ros.core.safety.decision import Decision
from arfm_ros.robots.commands import preflight
from arfm_ros.robots.commands.controller import (
    Ahead,
    Numbers,
    Outgoing,
    Tools,
    Topic,
    command_topic,
)
from arfm_ros.robots.commands.graph import FAIL, WARN, Finding, Graph
from arfm_ros.robots.commands.messages import FLOAT64_ARRAY
from arfm_ros.robots.commands.registry import Kind, register
from arfm_ros.robots.commands.values import F64, Values
from arfm_ros.robots.robot import Group

OUTLIVES_MAX = 0.1  # rad or m that the last velocity may still move an axis


@dataclass(frozen=True, slots=True)
class Options:
    """Where the controller is, and how it is kept near the path."""

    name: str = "forward_velocity_controller"  # in the controller manager, and of its topic
    gain: float = 2.0  # 1/s, velocity for a distance from the path; needs the measured position
    driver_timeout_s: float = 0.0  # the driver stops so long after the last message; 0: never

    def __post_init__(self) -> None:
        if not 0.0 <= self.gain < 20.0 or not self.driver_timeout_s >= 0.0:
            raise ConfigError(
                f"gain is {self.gain}, needs 0 to 20; driver_timeout_s is "
                f"{self.driver_timeout_s}, needs at least 0"
            )


class ForwardVelocity:
    """Velocities by index, within those of the axes; zeros when the path stands."""

    def __init__(self, group: Group, options: Options, tools: Tools) -> None:
        self._group, self._options, self._measured = group, options, tools.measured
        self._most = np.array([axis.velocity for axis in group.axes])
        self._numbers, self._topic = Numbers(group), self.topics(group)[0]
        self._driving = False

    def topics(self, group: Group) -> tuple[Topic, ...]:
        """Return the topic of velocities."""
        return (command_topic(group, f"{self._options.name}/commands", FLOAT64_ARRAY),)

    def commands(self, decision: Decision, now_ns: int, ahead: Ahead) -> Sequence[Outgoing]:
        """Return the velocities of this tick; when going idle zeros, once."""
        if decision.command is None and not self._driving:
            return ()
        self._driving = decision.command is not None
        velocity = np.zeros(len(self._group.axes))
        if decision.command is not None and decision.velocity.any():
            velocity = self._towards(decision.command, decision.velocity)
        return (Outgoing(self._topic, Values(self._numbers.velocities(velocity))),)

    def preflight(self, graph: Graph) -> Sequence[Finding]:
        """Check the graph, and how far the arm would drive if this process died."""
        return (
            *preflight.of_group(self._group, (self._topic,), graph),
            *preflight.parameter_joints(self._options.name, self._group, graph),
            *preflight.active(self._options.name, graph),
            *self._outlives(),
        )

    def _towards(self, command: F64, velocity: F64) -> F64:
        measured = None if self._measured is None else self._measured()
        if measured is not None:
            velocity = velocity + self._options.gain * (command - measured)
        return np.clip(velocity, -self._most, self._most)

    def _outlives(self) -> Sequence[Finding]:
        timeout_s = self._options.driver_timeout_s
        if timeout_s == 0.0:
            text = "a velocity controller keeps the last velocity for ever if the arbiter dies"
            return (
                Finding(WARN, text, "driver_timeout_s: the time after which the driver stops"),
            )
        most = float(self._most.max()) * timeout_s
        if most <= OUTLIVES_MAX:
            return ()
        text = f"the last velocity moves an axis by up to {most:.2f}, at most {OUTLIVES_MAX}"
        return (Finding(FAIL, text, "the driver's timeout, or the axes' velocity limits"),)


register(Kind("forward_velocity", Options, ForwardVelocity, units=("rad", "m")))
