"""The operator of the stack under test: resets, engages, waits until the policy moves the arm."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

from arfm_ros.faults.stack import Broken
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.executor import Spinner

POLL_S, ANSWER_S, START_S = 0.005, 3.0, 40.0
MOVING_RAD_S, FRESH_S, BEAT_S = 0.15, 0.1, 0.1
NEWEST = topics.Qos(reliable=False)
SIM_PARAMETERS = topics.Service("sim_node/set_parameters", "rcl_interfaces/srv/SetParameters")
DRIVEN = ("policy", "human")


class Operator:
    """A node on a thread of its own that calls services and hears just enough to know when."""

    def __init__(self, heartbeat: bool = False) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("fault_operator", context=self._context)
        self.authority = ""
        self.speed = 0.0  # largest of the commanded joint speeds, rad/s
        self.command_s = 0.0  # steady time of the last command
        self.position = [0.0] * 7  # the last command's
        self.names: list[str] = []
        self.chunk: Any = None
        self.chunks = 0
        self._beats = heartbeat
        self.instruction = ""
        rows = (topics.ARBITER_ENGAGE, topics.ARBITER_RESET, topics.SIM_RESET, SIM_PARAMETERS)
        self.clients = {row: topics.client(self.node, row) for row in rows}
        self.instructions = topics.publisher(self.node, topics.INSTRUCTION)
        topics.subscription(self.node, topics.AUTHORITY, self._on_authority)
        topics.subscription(self.node, topics.ARBITER_COMMAND, self._on_command, NEWEST)
        topics.subscription(self.node, topics.ACTION_CHUNK, self._on_chunk)
        self._estop = topics.publisher(self.node, topics.ESTOP) if heartbeat else None
        self.node.create_timer(BEAT_S, self._beat)
        self._executor = Spinner(context=self._context)
        self._executor.add_node(self.node)
        spin = self._executor.spin_to_shutdown
        self._thread = threading.Thread(target=spin, name="operator", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the node."""
        self._context.try_shutdown()
        self._thread.join(timeout=2.0)

    def wait(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        """Wait until `condition`; return whether it came."""
        until_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until_s:
                return False
            time.sleep(POLL_S)
        return True

    def prepare(self, seed: int) -> None:
        """Put the arm and the task at their start, at rest and idle."""
        self.ask(topics.ARBITER_RESET, Trigger.Request())
        self.engage(False)
        if not self.wait(lambda: self.authority == "idle", 5.0):
            raise Broken(f"arbiter is '{self.authority}', not idle, 5 s after it was disengaged")
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        chosen = [Parameter(name="seed", value=value)]
        self.ask(SIM_PARAMETERS, SetParameters.Request(parameters=chosen))
        answer = self.ask(topics.SIM_RESET, Trigger.Request())
        self.instruction = str(json.loads(answer.message)["instruction"])
        self.instruct(self.instruction)

    def drive(self) -> None:
        """Engage and wait until the policy moves the arm."""
        heard = self.chunks
        if not self.wait(lambda: self.chunks > heard, START_S):
            raise Broken("no fresh chunk from the policy")
        if not self.engaged():
            raise Broken("the arbiter does not engage")

    def engaged(self) -> bool:
        """Ask to engage until it is granted; return whether it was."""
        return self.wait(lambda: self.engage(True).success, 10.0)

    def engage(self, driving: bool) -> Any:
        """Let the arbiter drive, or idle; return its answer."""
        return self.ask(topics.ARBITER_ENGAGE, SetBool.Request(data=driving))

    def reset(self) -> Any:
        """Clear a latched hold; return the answer."""
        return self.ask(topics.ARBITER_RESET, Trigger.Request())

    def instruct(self, words: str) -> None:
        """Say what the policy shall do."""
        self.instructions.publish(String(data=words))

    def beat(self, alive: bool) -> None:
        """Let the e-stop's heartbeat go on or stop."""
        self._beats = alive

    def forget(self) -> None:
        """Forget what an arbiter said that has ended."""
        self.authority, self.command_s = "", 0.0

    def driven(self) -> bool:
        """Say whether policy or human command the arm now."""
        fresh = time.monotonic() - self.command_s < FRESH_S
        return fresh and self.authority in DRIVEN

    def moving(self, timeout_s: float) -> bool:
        """Wait until policy or human move the arm; return whether they do."""
        return self.wait(lambda: self.driven() and self.speed > MOVING_RAD_S, timeout_s)

    def ask(self, row: topics.Service, request: Any, timeout_s: float = START_S) -> Any:
        """Call a service until it answers; raise `Broken` when it does not."""
        client, until_s = self.clients[row], time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if not self.wait(client.service_is_ready, 1.0):
                continue
            future = client.call_async(request)
            if self.wait(future.done, ANSWER_S):
                return future.result()
        raise Broken(f"service {row.name} does not answer within {timeout_s:g} s")

    def _on_authority(self, message: Any) -> None:
        self.authority = message.data

    def _on_command(self, message: Any) -> None:
        self.speed = float(np.abs(message.velocity[:7]).max())
        self.position, self.names = list(message.position[:7]), list(message.name[:7])
        self.command_s = time.monotonic()

    def _on_chunk(self, message: Any) -> None:
        self.chunk = message
        self.chunks += 1

    def _beat(self) -> None:
        if self._estop is not None and self._beats:
            self._estop.publish(Bool(data=False))
