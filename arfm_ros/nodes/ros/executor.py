"""The executor of every node: rclpy's own, that does not look at every event for each message."""

from __future__ import annotations

import time
from typing import Any

from rclpy.event_handler import EventHandler
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future

EVENTS_EVERY_NS = 100_000_000


class Spinner(SingleThreadedExecutor):
    """Handle messages, services and timers as they come, events of their quality seldom.

    rclpy gives each publisher and each reader two events (an incompatible offer, another type)
    and walks through all of them in Python, several calls each, whenever anything comes: with 50
    publishers and readers 2 ms for every message. Nothing is lost by looking less often, an event
    stays until it is taken.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._events_due_ns = 0
        self._with_events = True

    def can_execute(self, entity: Any) -> bool:
        """Leave out events between two looks at them."""
        if not self._with_events and isinstance(entity, EventHandler):
            return False
        return bool(super().can_execute(entity))

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one thing to happen and handle it."""
        now_ns = time.monotonic_ns()
        self._with_events = now_ns >= self._events_due_ns
        if self._with_events:
            self._events_due_ns = now_ns + EVENTS_EVERY_NS
        super().spin_once(timeout_sec)

    def spin_until(self, over: Future) -> None:
        """Spin until `over` is done.

        rclpy's `spin_until_future_complete` adds a callback to the future for every message and
        keeps all of them.
        """
        over.add_done_callback(lambda _: self.wake())
        while self.context.ok() and not over.done():
            self.spin_once()
