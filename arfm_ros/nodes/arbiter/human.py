"""A person at the arbiter: the device's targets and deadman, requests, takeover by a service."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool

from arfm_ros.core.errors import SafetyError, SpecError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.sharing.modes import read_request
from arfm_ros.nodes.arbiter.answers import Answers
from arfm_ros.nodes.arbiter.inputs import SoleSenders
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import joint_map


class HumanInputs:
    """Hand what people want to the arbiter's authority."""

    def __init__(
        self, node: Node, arbiter: Arbiter, lock: Lock, senders: SoleSenders, answers: Answers
    ) -> None:
        self._arbiter, self._lock, self._answers = arbiter, lock, answers
        senders.listen(topics.TELEOP_ENGAGED, self._on_engaged)
        senders.listen(topics.TELEOP_TARGET, self._on_target)
        topics.subscription(node, topics.ARBITER_REQUEST, self._on_request)
        topics.service(node, topics.ARBITER_TAKEOVER, self._on_takeover)

    def _on_engaged(self, message: Bool, refusal: str) -> None:
        with self._lock:
            if refusal:
                self._arbiter.refuse(refusal)
            pressed = message.data and not refusal
            self._arbiter.authority.deadman(pressed, time.monotonic_ns())

    def _on_target(self, message: JointState, refusal: str) -> None:
        named: dict[str, float] = {}
        try:
            named = joint_map((message,))
        except SpecError as error:
            refusal = refusal or str(error)
        with self._lock:
            if refusal:
                self._arbiter.refuse(refusal)
            else:
                self._arbiter.authority.target(named, time.monotonic_ns())

    def _on_request(self, message: String) -> None:
        try:
            pairs = read_request(message.data)
        except SafetyError as error:
            self._answers.tell(message.data, "request", str(error))
            return
        with self._lock:
            now_ns = time.monotonic_ns()
            refusals = [self._arbiter.authority.request(*pair, now_ns) for pair in pairs]
        self._answers.tell(message.data, "request", "; ".join(filter(None, refusals)))

    def _on_takeover(self, request: Any, response: Any) -> SetBool.Response:
        with self._lock:
            refusal = self._arbiter.authority.takeover(request.data, time.monotonic_ns())
        done = "the human has what has a target" if request.data else "given back"
        response.success, response.message = not refusal, refusal or done
        return response
