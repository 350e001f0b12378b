"""A running policy node, asked from another process to let another bundle drive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from arfm_ros.core.errors import FleetError
from arfm_ros.engines import load_bundle
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.nodes.ros.patience import ANSWER_S

FOUND_S, POLL_S, TRIES = 5.0, 0.05, 3
ACTIVE = "active"


class RunningPolicy:
    """Swaps the bundle of the policy node of a name, `/robot1/policy_node` for instance.

    A node that does not run, or that is not active, swaps nothing: it loads the bundle that its
    parameter names when it is configured.
    """

    def __init__(self, node: str, timeout_s: float = 180.0) -> None:
        self._name, self._timeout_s = "/" + node.strip("/"), timeout_s
        self._heard: dict[str, str] = {}

    def swap(self, link: Path) -> str:
        """Ask for the bundle behind `link`; return why it does not drive, or ''."""
        wanted, context = load_bundle(link).sha256, rclpy.Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        try:
            return self._ask(context, str(link.absolute()), wanted)
        finally:
            context.try_shutdown()

    def _ask(self, context: Any, link: str, wanted: str) -> str:
        self._heard = {}
        node = rclpy.create_node("arfm_sync", context=context, start_parameter_services=False)
        row = topics.Service(f"{self._name}/set_parameters", "rcl_interfaces/srv/SetParameters")
        client = topics.client(node, row)
        topics.subscription(node, topics.DIAGNOSTICS, self._on_diagnostics)
        spinner = Spinner(context=context)
        spinner.add_node(node)
        thread = threading.Thread(target=spinner.spin_to_shutdown, name="sync", daemon=True)
        thread.start()
        try:
            if not (client.wait_for_service(FOUND_S) and _wait(lambda: self._heard, FOUND_S)):
                return ""  # nobody drives: whoever starts next follows the link
            for _ in range(TRIES):  # an answer may get lost, and to set it twice does no harm
                answer = client.call_async(_bundle_is(row, link))
                if _wait(answer.done, ANSWER_S):
                    result = answer.result().results[0]
                    return self._taken(wanted) if result.successful else str(result.reason)
            raise FleetError(f"{self._name} does not answer: is it being stopped?")
        finally:
            context.try_shutdown()
            thread.join(timeout=2.0)

    def _taken(self, wanted: str) -> str:
        """Wait until the node runs the bundle, or says why not."""
        self._heard.clear()  # what it says from now on
        if not _wait(self._decided(wanted), self._timeout_s):
            return f"{self._name} did not take it in {self._timeout_s:g} s"
        if self._heard["state"] != ACTIVE or self._heard.get("sha256") == wanted:
            return ""
        return self._heard["not_swapped"]

    def _decided(self, wanted: str) -> Callable[[], bool]:
        def decided() -> bool:
            heard = dict(self._heard)
            taken = heard.get("sha256") == wanted and not heard.get("loading")
            refused = bool(heard.get("not_swapped")) and not heard.get("loading")
            return bool(heard) and (heard["state"] != ACTIVE or taken or refused)

        return decided

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if "/" + status.name.partition(":")[0].strip("/") == self._name:
                values = {pair.key: pair.value for pair in status.values}
                self._heard = values if "state" in values else self._heard


def _bundle_is(row: topics.Service, link: str) -> Any:
    """Make the request that sets the parameter `bundle`."""
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue

    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=link)
    request = topics.interface(row.type_name).Request()
    request.parameters = [Parameter(name="bundle", value=value)]
    return request


def _wait(condition: Callable[[], Any], timeout_s: float) -> bool:
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(POLL_S)
    return True
