"""Publish a node's state of health on `/diagnostics` once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.nodes.ros.hearing import lost_publishers
from arfm_ros.nodes.ros.topics import DIAGNOSTICS, publisher

OK, WARN, ERROR, STALE = 0, 1, 2, 3
LOOK_S = 0.5  # between two looks at who publishes what this node cannot hear


@dataclass(frozen=True, slots=True)
class Health:
    """What a node says about itself; numbers in `values` are written with 6 digits."""

    level: int = OK
    message: str = "ok"
    values: Mapping[str, object] = field(default_factory=dict)


def status(name: str, health: Health, hardware_id: str = "") -> DiagnosticStatus:
    """Turn `health` into a message."""
    return DiagnosticStatus(
        level=bytes([health.level]),
        name=name,
        message=health.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=k, value=_text(v)) for k, v in health.values.items()],
    )


class Diagnostics:
    """Publish `source()` at 1 Hz under `<node name>: <name>`, and at once on `publish()`.

    A publisher that the node cannot hear makes it an error. The period runs on the steady clock,
    so that a stopped simulation clock does not silence it.
    """

    def __init__(
        self,
        node: Node,
        source: Callable[[], Health],
        name: str = "health",
        period_s: float = 1.0,
    ) -> None:
        self._node, self._source = node, source
        self._lost: list[str] = []
        self._name = f"{node.get_fully_qualified_name().lstrip('/')}: {name}"
        self._publisher = publisher(node, DIAGNOSTICS)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer: Any = node.create_timer(period_s, self.publish, clock=steady)
        self._look_timer: Any = node.create_timer(LOOK_S, self._look, clock=steady)

    def publish(self) -> None:
        """Ask for the health now and publish it."""
        health = self._source()
        if self._lost:
            said = [*self._lost, *([health.message] if health.level != OK else [])]
            health = replace(health, level=ERROR, message="; ".join(said))
        message = DiagnosticArray(status=[status(self._name, health)])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _look(self) -> None:
        before, self._lost = self._lost, lost_publishers(self._node)
        if self._lost != before:
            self.publish()


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
