"""What an operator asks of the arbiter: engage, reset, e-stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from arfm_ros.core.errors import SafetyError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.limits import F64
from arfm_ros.nodes.arbiter.health import Told
from arfm_ros.nodes.ros import topics

NS = 1_000_000_000
PATIENCE_NS = NS


class ArbiterServices:
    """Answer at once; what takes time goes on in the tick and with the next joint state."""

    def __init__(
        self, node: Node, arbiter: Arbiter, lock: Lock, told: Told, intruders: Callable[[], str]
    ) -> None:
        self._node, self._arbiter, self._lock, self._told = node, arbiter, lock, told
        self._intruders = intruders
        self._engage_since_ns: int | None = None  # asked, waits for a newer joint state
        topics.service(node, topics.ARBITER_ENGAGE, self._on_engage)
        topics.service(node, topics.ARBITER_RESET, self._on_reset)
        topics.service(node, topics.ESTOP_PRESS, self._on_estop)

    def leave(self) -> None:
        """Brake, then go idle: the controller keeps the last velocity for ever."""
        self._engage_since_ns = None
        with self._lock:
            self._arbiter.disengage()

    def on_state(self, position: F64, at_ns: int, now_ns: int) -> None:
        """Engage at a joint state [A] that is newer than the wish; the caller holds the lock."""
        if self._engage_since_ns is None or at_ns < self._engage_since_ns:
            return
        self._engage_since_ns = None
        try:
            self._arbiter.engage(now_ns, position)
        except SafetyError as error:
            self._node.get_logger().error(f"not engaged: {error}")

    def check(self) -> None:
        """Give a wish up that no joint state came for; the caller holds the lock."""
        since_ns = self._engage_since_ns
        if since_ns is not None and time.monotonic_ns() - since_ns > PATIENCE_NS:
            self._engage_since_ns = None
            self._node.get_logger().error("not engaged: no joint state since it was asked for")

    def _on_engage(self, request: Any, response: Any) -> SetBool.Response:
        if not request.data:
            self.leave()
            response.success = True
            response.message = "brakes, then idle: nothing is commanded"
            return response
        self._told.intruders = self._intruders()
        refusal = self._not_engageable()
        if not refusal:
            self._engage_since_ns = time.monotonic_ns()
        response.success = not refusal
        response.message = refusal or "engages with the next joint state"
        return response

    def _not_engageable(self) -> str:
        if self._arbiter.estop.latched:
            return "e-stop is latched: release it and call arbiter/reset"
        if self._told.intruders:
            return self._told.intruders
        age_ns = time.monotonic_ns() - self._arbiter.watch.stamp_ns
        if age_ns > PATIENCE_NS:
            row = topics.JOINT_STATES.name
            return self._told.refusal or f"no joint state on {row}: robot running?"
        return ""

    def _on_reset(self, request: Any, response: Any) -> Trigger.Response:
        try:
            with self._lock:
                self._arbiter.reset()
        except SafetyError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, "cleared"
        return response

    def _on_estop(self, request: Any, response: Any) -> SetBool.Response:
        with self._lock:
            self._arbiter.on_estop(request.data, time.monotonic_ns())
        response.success = True
        response.message = "pressed" if request.data else "released: call arbiter/reset to go on"
        return response
