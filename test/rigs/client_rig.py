"""A ROS node in the process of a test, for what it asks of the nodes under test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.client import Client as ServiceClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

ANSWER_S = 5.0  # after so long without an answer a service is asked again


def ask(client: ServiceClient, request: Any, until: Callable[[Callable[[], Any]], Any]) -> Any:
    """Call a service once it is there and return its response.

    A server under load may not have discovered the reader of its answers when it has the first
    one ready, and drops it: the same client asks again. `until(condition)` waits.
    """
    until(client.service_is_ready)
    asked: list[tuple[float, Any]] = []

    def answer() -> Any:
        if not asked or time.monotonic() - asked[-1][0] > ANSWER_S:
            asked.append((time.monotonic(), client.call_async(request)))
        return next((future for _, future in asked if future.done()), None)

    until(answer)
    return next(future.result() for _, future in asked if future.done())


class Client:
    """A node of its own context, which hears and answers only while a test waits for something."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("test_client", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
        """Spin until `condition()` is true."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"not in time; {self.last_words()}"
            self.executor.spin_once(timeout_sec=0.05)

    def last_words(self) -> str:
        """Say, for a wait that failed, what the node under test told of itself."""
        return "the node did not do it"

    def ask(self, client: ServiceClient, request: Any) -> Any:
        """Call a service once it is there and return its response."""
        return ask(client, request, self.until)

    def close(self) -> None:
        """End the node and its context."""
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
