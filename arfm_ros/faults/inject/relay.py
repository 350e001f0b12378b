"""A process between the sensors, the policy and the arbiter that alters what it passes on.

Usage: python -m arfm_ros.faults.inject.relay, with one JSON object a line on its standard input:
{"stream": "state", "fault": "nan", "seed": 1} begins a fault, {"stream": "state"} ends it,
{"teleop": true} lets a human drive, {"clock_step": 2.0} shifts the time that it publishes on
/clock if it was started with the word `clock`. It answers with the steady time of the first
altered message.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import sys
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from arfm_ros.faults.inject import content, timing
from arfm_ros.faults.inject.wiring import CAMERAS, STREAMS, TELEOP
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.convert import ns_to_time
from arfm_ros.nodes.ros.real_time import raise_process_priority

READ = topics.Qos(reliable=True, depth=20)
CLOCK_HZ = 200.0
TELEOP_HZ, SWING_RAD, SWING_HZ = 50.0, 0.3, 0.2
SWINGING = (0, 3, 5)  # joints that the pretended human moves


def make_fault(stream: str, name: str, seed: int, kind: Any) -> timing.Fault:
    """Return the fault `name` of a stream whose messages are of type `kind`."""
    rng = random.Random(seed)
    if name in timing.FAULTS:
        return timing.FAULTS[name](rng)
    edit = content.EDITS["camera" if stream in CAMERAS else stream][name](rng)

    def fault(message: bytes, now_s: float) -> timing.Passed:
        return [(0.0, serialize_message(edit(deserialize_message(message, kind))))]

    return fault


class Later:
    """Send messages after a while, on a thread of its own."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[bytes], None], bytes]] = []
        self._count = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="later", daemon=True).start()

    def send(self, publish: Callable[[bytes], None], message: bytes, after_s: float) -> None:
        """Publish now, or after `after_s`."""
        if after_s <= 0.0:
            publish(message)
            return
        with self._changed:
            self._count += 1
            due = (time.monotonic() + after_s, self._count, publish, message)
            heapq.heappush(self._due, due)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                wait_s = self._due[0][0] - time.monotonic() if self._due else 1.0
                if wait_s > 0.0:
                    self._changed.wait(wait_s)
                    continue
                _, _, publish, message = heapq.heappop(self._due)
            publish(message)


class Relay(Node):
    """Pass streams on, altered on command, and pretend a human."""

    def __init__(self, clock: bool = False) -> None:
        super().__init__("fault_relay", start_parameter_services=False)
        self._later = Later()
        self._faults: dict[str, timing.Fault] = {}
        self._unseen: set[str] = set()  # faults that have altered nothing yet
        self._arm_bytes = b""  # the newest true state of the arm
        self._arm: JointState | None = None
        self._swing: tuple[float, list[float]] | None = None  # begin, and around where
        self._publish: dict[str, Callable[[bytes], None]] = {}
        for name, stream in STREAMS.items():
            self._publish[name] = topics.publisher(self, stream.row).publish
            row = stream.row.at(stream.source)
            topics.subscription(self, row, self._passer(name), READ, raw=True)
        self._engaged = topics.publisher(self, topics.TELEOP_ENGAGED)
        self._publish[TELEOP] = topics.publisher(self, topics.TELEOP_TARGET).publish
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / TELEOP_HZ, self._drive, clock=steady)
        self._offset_ns = time.time_ns() - time.monotonic_ns()  # of the time on /clock
        if clock:
            qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._clock = self.create_publisher(ClockMessage, "/clock", qos)
            self.create_timer(1.0 / CLOCK_HZ, self._tell_time, clock=steady)
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def _passer(self, name: str) -> Callable[[bytes], None]:
        def take(message: bytes) -> None:
            if name == "state":
                self._arm_bytes = message
            self._pass_on(name, message)

        return take

    def _pass_on(self, name: str, message: bytes) -> None:
        fault = self._faults.get(name)
        if fault is None:
            self._publish[name](message)
            return
        passed = fault(message, time.monotonic())
        if name in self._unseen and passed != [(0.0, message)]:
            self._unseen.discard(name)
            _say({"stream": name, "at_ns": time.monotonic_ns()})
        for after_s, one in passed:
            self._later.send(self._publish[name], one, after_s)

    def _listen(self) -> None:
        for line in sys.stdin:
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, Any]) -> None:
        if TELEOP in order:
            self._take_over(bool(order[TELEOP]))
            return
        if "clock_step" in order:
            self._offset_ns += round(float(order["clock_step"]) * 1e9)
            return
        name, fault = order["stream"], order.get("fault")
        if fault is None:
            self._faults.pop(name, None)
            return
        row = STREAMS[name].row if name in STREAMS else topics.TELEOP_TARGET
        self._unseen.add(name)
        self._faults[name] = make_fault(
            name, fault, order.get("seed", 0), topics.interface(row.type_name)
        )

    def _tell_time(self) -> None:
        now_ns = time.monotonic_ns() + self._offset_ns
        self._clock.publish(ClockMessage(clock=ns_to_time(now_ns)))

    def _take_over(self, engaged: bool) -> None:
        self._engaged.publish(Bool(data=engaged))
        if not engaged:
            self._swing = None
            return
        arm = deserialize_message(self._arm_bytes, JointState)
        self._arm = JointState(name=list(arm.name))
        self._swing = (time.monotonic(), list(arm.position))

    def _drive(self) -> None:
        swing, target = self._swing, self._arm
        if swing is None or target is None:
            return
        begin_s, around = swing
        moved = SWING_RAD * math.sin(2 * math.pi * SWING_HZ * (time.monotonic() - begin_s))
        target.header.stamp = self.get_clock().now().to_msg()
        wanted = [q + moved * (k in SWINGING) for k, q in enumerate(around)]
        target.position = array("d", wanted)
        self._pass_on(TELEOP, serialize_message(target))


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main() -> int:
    """Run until a signal comes; what stands between robot and arbiter is as urgent as they are."""
    raise_process_priority()
    return spin.run(lambda: Relay(clock="clock" in sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
