"""The only publisher of the robot's command topics: a 100 Hz tick of the arbiter.

The tick has a thread of its own with absolute deadlines on the steady clock; callbacks run on the
executor's thread and only hand values to the arbiter under a lock. Stamps are ROS time.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from arfm_ros.control.backends import make_backend
from arfm_ros.core.arbiter import Arbiter
from arfm_ros.core.decision import IDLE, Decision
from arfm_ros.core.errors import SafetyError, SpecError
from arfm_ros.core.latency import Deadlines, StageLatency
from arfm_ros.nodes import spin, topics
from arfm_ros.nodes.arbiter_outputs import ArbiterOutputs
from arfm_ros.nodes.arbiter_params import ArbiterParams
from arfm_ros.nodes.convert import joint_positions, time_to_ns, trajectory_to_chunk
from arfm_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Health
from arfm_ros.nodes.params import declare
from arfm_ros.nodes.real_time import raise_process_priority, real_time

NS = 1_000_000_000
CHECK_PERIOD_S = 0.1
ENGAGE_PATIENCE_NS = NS
BRAKE_PATIENCE_S = 1.0
SWITCH_INTERVAL_S = 0.0005  # the tick waits at most this long for a callback in Python code


class ArbiterNode(Node):
    """Feed the arbiter and send what it decides."""

    def __init__(self) -> None:
        super().__init__("arbiter_node")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        params = declare(self, ArbiterParams)
        self._config = params.config()
        self._names = self._config.limits.names
        self._priority, self._real_time = params.priority, False
        self._lock = threading.Lock()  # guards the arbiter
        self._arbiter = Arbiter(self._config)
        backend = make_backend(params.backend)
        self._outputs = ArbiterOutputs(self, backend, self._names, params.command_topic)
        self._latency = StageLatency()
        self._gripper_state: JointState | None = None
        self._engage_since_ns: int | None = None  # asked, waits for a newer joint state
        self._human_engaged = False
        self._chunks, self._commanded_stamp_ns = 0, 0
        self._intruders = ""
        self._refusal = ""  # of a message that never reached the arbiter
        self._decision: Decision | None = None
        self._seen = (0, time.monotonic_ns(), 0)  # ticks, time, rejections at the last diagnosis
        self._ticks = 0
        self._listen()
        self._failure: Exception | None = None
        self._stopping = False
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._check_timer = self.create_timer(CHECK_PERIOD_S, self._check, clock=steady)
        self._deadlines = Deadlines(self._config.period_ns, time.monotonic_ns())
        self._thread = threading.Thread(target=self._run, name="tick", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the tick; `spin.run` calls it before the node is destroyed."""
        self._stopping = True
        self._thread.join(timeout=1.0)

    def _listen(self) -> None:
        for row, callback in (
            (topics.JOINT_STATES, self._on_joint_state),
            (topics.GRIPPER_STATES, self._on_gripper_state),
            (topics.ACTION_CHUNK, self._on_chunk),
            (topics.TELEOP_ENGAGED, self._on_human_engaged),
            (topics.TELEOP_TARGET, self._on_human_target),
            (topics.ESTOP, self._on_estop),
        ):
            topics.subscription(self, row, callback)
        topics.service(self, topics.ARBITER_ENGAGE, self._on_engage)
        topics.service(self, topics.ARBITER_RESET, self._on_reset)

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    # -- the tick's thread

    def _run(self) -> None:
        self._real_time = real_time(self._priority)
        try:
            while not self._stopping:
                ahead_ns = self._deadlines.next_ns - time.monotonic_ns()
                if ahead_ns > 0:
                    time.sleep(ahead_ns / NS)
                late_ns = self._deadlines.late_ns(time.monotonic_ns())
                self._latency.add("tick_late", late_ns)
                self._tick()
        except Exception as error:  # noqa: BLE001 - thread border: `_check` raises it again
            if self.context.ok() and not self._stopping:
                self._failure = error

    def _tick(self) -> None:
        with self._lock:
            now_ns = self._now_ns()
            decision = self._arbiter.tick(now_ns)
            self._outputs.publish(decision, now_ns, self._arbiter.preview)
        self._decision = decision
        self._ticks += 1
        if decision.chunk_stamp_ns and decision.chunk_stamp_ns != self._commanded_stamp_ns:
            self._commanded_stamp_ns = decision.chunk_stamp_ns
            self._latency.add("sensor_to_command", self._now_ns() - decision.chunk_stamp_ns)

    # -- the executor's thread

    def _on_joint_state(self, message: JointState) -> None:
        if self._gripper_state is None:
            self._refusal = f"no gripper state yet on {topics.GRIPPER_STATES.name}"
            return
        try:
            position = joint_positions((message, self._gripper_state), self._names)
        except SpecError as error:
            self._refusal = str(error)
            return
        stamp_ns = time_to_ns(message.header.stamp)
        with self._lock:
            now_ns = self._now_ns()
            self._arbiter.on_state(position, stamp_ns, now_ns)
            if self._engage_since_ns is not None and stamp_ns >= self._engage_since_ns:
                self._engage_since_ns = None
                self._engage(now_ns, position)
        self._refusal = ""

    def _engage(self, now_ns: int, position: Any) -> None:
        try:
            self._arbiter.engage(now_ns, position)
        except SafetyError as error:
            self.get_logger().error(f"not engaged: {error}")

    def _on_gripper_state(self, message: JointState) -> None:
        self._gripper_state = message

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            chunk = trajectory_to_chunk(message)
        except SpecError as error:
            self._refusal = str(error)
            self.get_logger().error(f"chunk refused: {error}", throttle_duration_sec=1.0)
            return
        self._chunks += 1
        info = dataclasses.replace(chunk.info, chunk_id=self._chunks)
        with self._lock:
            reason = self._arbiter.on_chunk(dataclasses.replace(chunk, info=info), self._now_ns())
            engaged = self._arbiter.engaged
        if reason and engaged:
            self.get_logger().warning(f"chunk refused: {reason}", throttle_duration_sec=1.0)

    def _on_human_engaged(self, message: Bool) -> None:
        self._human_engaged = message.data
        with self._lock:
            self._arbiter.on_human_engaged(message.data, self._now_ns())

    def _on_human_target(self, message: JointState) -> None:
        if not self._human_engaged or self._decision is None or self._decision.command is None:
            return
        # a device without a gripper leaves the gripper where it is
        current = JointState(name=list(self._names), position=self._decision.command.tolist())
        try:
            target = joint_positions((message, current), self._names)
        except SpecError as error:
            self._refusal = str(error)
            return
        with self._lock:
            self._arbiter.on_human(target, self._now_ns())

    def _on_estop(self, message: Bool) -> None:
        with self._lock:
            self._arbiter.on_estop(message.data)

    def _on_engage(self, request: Any, response: Any) -> SetBool.Response:
        if not request.data:
            self._engage_since_ns = None
            self._brake()
            with self._lock:
                self._arbiter.disengage()
            response.success, response.message = True, "idle: nothing is commanded"
            return response
        self._intruders = self._outputs.intruders()
        refusal = self._not_engageable()
        if not refusal:
            self._engage_since_ns = self._now_ns()
        response.success = not refusal
        response.message = refusal or "engages with the next joint state"
        return response

    def _brake(self) -> None:
        """Let the tick come to rest: the controller keeps the last velocity for ever."""
        with self._lock:
            if not self._arbiter.engaged:
                return
            self._arbiter.fail("going idle")
            ticks = self._ticks
        end_s = time.monotonic() + BRAKE_PATIENCE_S
        while time.monotonic() < end_s and self._failure is None:
            decision = self._decision
            if self._ticks > ticks and decision is not None and not decision.velocity.any():
                return
            time.sleep(self._config.period_ns / NS)

    def _not_engageable(self) -> str:
        if self._arbiter.estopped:
            return "e-stop is latched: release it and call arbiter/reset"
        if self._intruders:
            return self._intruders
        age_ns = self._now_ns() - self._arbiter.state_stamp_ns
        if age_ns > ENGAGE_PATIENCE_NS:
            return self._refusal or f"no joint state on {topics.JOINT_STATES.name}: robot running?"
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

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._intruders = self._outputs.intruders()
        with self._lock:
            if self._intruders and self._arbiter.engaged:
                self._arbiter.fail(self._intruders)
            since_ns = self._engage_since_ns
            if since_ns is not None and self._now_ns() - since_ns > ENGAGE_PATIENCE_NS:
                self._engage_since_ns = None
                self.get_logger().error("not engaged: no joint state since it was asked for")

    def _health(self) -> Health:
        ticks, since_ns, rejections = self._seen
        now_ns, steady_ns, arbiter = self._now_ns(), time.monotonic_ns(), self._arbiter
        with self._lock:
            counts = arbiter.limited_counts()
            fault, last_rejection = arbiter.fault, arbiter.last_rejection
            state_age_ns = now_ns - arbiter.state_stamp_ns
        self._seen = (self._ticks, steady_ns, arbiter.rejections)
        decision = self._decision
        values: dict[str, object] = {
            "authority": decision.authority if decision else IDLE,
            "reason": decision.reason if decision else "",
            "tick_rate_hz": (self._ticks - ticks) * NS / max(1, steady_ns - since_ns),
            "real_time": self._real_time,
            "ticks_missed": self._deadlines.missed,
            "state_age_ms": state_age_ns / 1e6 if state_age_ns < 3600 * NS else "never",
            "chunks": self._chunks,
            "rejections": arbiter.rejections,
            "last_rejection": last_rejection or self._refusal,
        }
        if decision and decision.chunk_stamp_ns:
            values["chunk_age_ms"] = (now_ns - decision.chunk_stamp_ns) / 1e6
        for kind, count in counts.items():
            values |= {f"limited.{kind}.{n}": int(c) for n, c in zip(self._names, count) if c}
        values |= self._latency.values_ms()
        if fault or self._intruders:
            return Health(ERROR, self._intruders or fault, values)  # names may come late
        if arbiter.estopped:
            return Health(WARN, "e-stop", values)
        if arbiter.rejections > rejections:
            return Health(WARN, last_rejection, values)
        return Health(OK, str(values["reason"] or "ok"), values)


def main() -> int:
    """Run the node as a process."""
    raise_process_priority()  # before DDS starts its threads
    return spin.run(ArbiterNode)


if __name__ == "__main__":
    sys.exit(main())
