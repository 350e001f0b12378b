"""Publish a node's state of health on `/diagnostics` once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.nodes.topics import DIAGNOSTICS, publisher

OK, WARN, ERROR, STALE = 0, 1, 2, 3


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

    The period runs on the steady clock, so that a stopped simulation clock does not silence it.
    """

    def __init__(
        self,
        node: Node,
        source: Callable[[], Health],
        name: str = "health",
        period_s: float = 1.0,
    ) -> None:
        self._node, self._source = node, source
        self._name = f"{node.get_fully_qualified_name().lstrip('/')}: {name}"
        self._publisher = publisher(node, DIAGNOSTICS)
        self._timer: Any = node.create_timer(
            period_s, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def publish(self) -> None:
        """Ask for the health now and publish it."""
        message = DiagnosticArray(status=[status(self._name, self._source())])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
