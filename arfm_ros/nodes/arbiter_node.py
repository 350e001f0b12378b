"""The only publisher of the robot's command topics: a 100 Hz tick of the arbiter.

The tick has a thread of its own with absolute deadlines on the steady clock; callbacks run on the
executor's thread and only hand values to the arbiter under a lock. The e-stop and the joint states
are looked for by the tick itself. The arbiter's own time is the steady clock; ROS time only
compares stamps.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from arfm_ros.core.errors import SpecError
from arfm_ros.core.safety.arbiter import Arbiter
from arfm_ros.core.safety.decision import Decision
from arfm_ros.core.safety.limits import F64, Limits
from arfm_ros.core.sharing.modes import MODE
from arfm_ros.core.values.latency import Deadlines, StageLatency
from arfm_ros.nodes.arbiter.answers import Answers
from arfm_ros.nodes.arbiter.health import ArbiterHealth, Told
from arfm_ros.nodes.arbiter.human import HumanInputs
from arfm_ros.nodes.arbiter.inputs import Moment, SoleSenders, StateTopics, moment
from arfm_ros.nodes.arbiter.outputs import ArbiterOutputs
from arfm_ros.nodes.arbiter.own_description import OwnDescription
from arfm_ros.nodes.arbiter.owners import OwnersTeller
from arfm_ros.nodes.arbiter.params import ArbiterParams
from arfm_ros.nodes.arbiter.pose_check import PoseCheck
from arfm_ros.nodes.arbiter.robot import DrivenRobot
from arfm_ros.nodes.arbiter.robot_states import RobotStates
from arfm_ros.nodes.arbiter.services import ArbiterServices
from arfm_ros.nodes.arbiter.words import WordInputs
from arfm_ros.nodes.ros import spin, topics
from arfm_ros.nodes.ros.convert import time_to_ns, trajectory_to_chunk
from arfm_ros.nodes.ros.diagnostics import Diagnostics, Health
from arfm_ros.nodes.ros.params import declare, watch
from arfm_ros.nodes.ros.real_time import raise_process_priority, real_time
from arfm_ros.nodes.ros.verdict import Verdict
from arfm_ros.wire.joints import JointStateReader
from arfm_ros.words.motions import Motions

NS = 1_000_000_000
CHECK_PERIOD_S = 0.1
SWITCH_INTERVAL_S = 0.0005  # the tick waits at most this long for a callback in Python code


class ArbiterNode(Node):
    """Feed the arbiter and send what it decides."""

    STOP_S = 1.5  # braking from full speed takes a third of that

    def __init__(self) -> None:
        super().__init__("arbiter_node")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        params = declare(self, ArbiterParams)
        self._params = params
        self._driven = DrivenRobot(params.robot_value(), self._measured)
        self._config = params.config(self._driven)
        self._names = self._config.limits.names
        self._priority = params.priority
        self._lock = threading.Lock()  # guards the arbiter
        self._arbiter = Arbiter(self._config)
        self._outputs = ArbiterOutputs(self, self._driven.whole, self._names)
        self._states = RobotStates(self._driven.robot, params.gripper_age_max)
        self._pose = PoseCheck(params.pose_tolerance, self._driven.robot)
        self._description = OwnDescription(self._config.limits, self._adopt)
        self._senders = SoleSenders(self)
        self._latency = StageLatency()
        self._answers, self._owners = Answers(self), OwnersTeller(self)
        self._words = WordInputs(
            self, self._arbiter, self._lock, params.lexicon(), self._motions, self._answers
        )
        self._chunks, self._commanded_stamp_ns = 0, 0
        self._heard = moment(self)  # when the tick's thread last looked at its inputs
        self._told = Told()
        self._moves = Motions(self._driven.robot)
        self._decision: Decision | None = None
        self._failure: Exception | None = None
        self._stopping = False
        self._deadlines = Deadlines(self._config.period_ns, time.monotonic_ns())
        self._operator = ArbiterServices(
            self, self._arbiter, self._lock, self._told, self._outputs.intruders
        )
        watch(self, ArbiterParams, self._retune)
        self._listen()
        self._reporter = ArbiterHealth(self._names, self._latency, self._deadlines)
        self._diagnostics = Diagnostics(self, self._health)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._check_timer = self.create_timer(CHECK_PERIOD_S, self._check, clock=steady)
        self._thread = self._start_ticking()

    def _start_ticking(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="tick", daemon=True)
        gc.collect()
        gc.freeze()  # what is there stays: a collection within a tick need not look through it
        thread.start()
        return thread

    def begin_stop(self) -> None:
        """Brake, then go idle: the controller keeps the last velocity for ever."""
        self._operator.leave()

    def stopped(self) -> bool:
        """Tell whether nothing is commanded any more."""
        return not self._arbiter.engaged or self._failure is not None

    def close(self) -> None:
        """Stop the tick; `spin.run` calls it before the node is destroyed."""
        self._stopping = True
        self._thread.join(timeout=1.0)

    def _listen(self) -> None:
        self._senders.listen(topics.ACTION_CHUNK, self._on_chunk)
        HumanInputs(self, self._arbiter, self._lock, self._senders, self._answers)
        self._reads = {topic: JointStateReader() for topic in self._states.topics}
        self._sources = StateTopics(self, self._states.topics, self._on_joint_state)
        # by the tick itself: on a busy machine the executor may come to them 0.1 s later
        self._estop = topics.polled(self, topics.ESTOP, self._on_estop)
        self._poses = topics.polled(self, topics.CURRENT_POSE, self._pose.on_pose)
        topics.subscription(self, topics.ROBOT_DESCRIPTION, self._description.hear)

    def _retune(self, params: ArbiterParams) -> None:
        mode, self._params = self._params.mode, params
        self._words.nudges = params.nudges
        with self._lock:
            self._config = params.config(self._driven)
            self._arbiter.retune(self._config)
            if params.mode != mode:
                self._arbiter.authority.request(MODE, params.mode, time.monotonic_ns())

    def _adopt(self, description: str) -> Limits:
        """Go by the robot's own description from now on."""
        self._driven = DrivenRobot(self._params.robot_value(description), self._measured)
        self._pose.follow(self._driven.robot)
        self._retune(self._params)
        return self._config.limits

    # -- the tick's thread

    def _run(self) -> None:
        self._told.real_time = real_time(self._priority)
        try:
            while not self._stopping:
                ahead_ns = self._deadlines.next_ns - time.monotonic_ns()
                if ahead_ns > 0:
                    time.sleep(ahead_ns / NS)
                late_ns = self._deadlines.late_ns(time.monotonic_ns())
                self._latency.add("tick_late", late_ns)
                self._hear()
                self._tick()
        except Exception as error:  # noqa: BLE001 - thread border: `_check` raises it again
            if self.context.ok() and not self._stopping:
                self._failure = error

    def _hear(self) -> None:
        """Take what must be known at this tick."""
        self._estop.poll()
        self._poses.poll()
        self._heard = moment(self)
        self._sources.poll()

    def _tick(self) -> None:
        with self._lock:
            now = moment(self)
            begin_ns = time.perf_counter_ns()
            decision = self._arbiter.tick(now.steady_ns)
            self._latency.add("tick", time.perf_counter_ns() - begin_ns)
            self._outputs.publish(decision, now, self._arbiter.preview)
            self._owners.decided(self._arbiter, decision, now)
            begin_ns = time.perf_counter_ns()
            self._arbiter.look_ahead()
            self._latency.add("look_ahead", time.perf_counter_ns() - begin_ns)
        before, self._decision = self._decision, decision
        self._told.decided(before, decision)
        if decision.chunk_stamp_ns and decision.chunk_stamp_ns != self._commanded_stamp_ns:
            self._commanded_stamp_ns = decision.chunk_stamp_ns
            self._latency.add("sensor_to_command", now.steady_ns - decision.chunk_stamp_ns)

    def _on_estop(self, message: Bool) -> None:
        with self._lock:
            self._arbiter.on_estop(message.data, time.monotonic_ns())

    def _on_joint_state(self, topic: str, cdr: bytes) -> None:
        now = self._heard
        try:
            told = self._reads[topic].read(cdr)
            state = self._states.take(topic, told, now)
        except SpecError as error:
            self._told.refusal = str(error)
            return
        if state is None:
            return
        position, at_ns = state
        with self._lock:
            self._arbiter.on_state(position, at_ns, time.monotonic_ns())
            self._operator.on_state(position, at_ns, now.steady_ns)
        self._pose.on_state(told.stamp_ns, position)
        self._told.refusal = ""

    # -- the executor's thread

    def _measured(self) -> F64:
        return self._arbiter.watch.position

    def _motions(self) -> Motions:
        """Return where words lead, by the description in force."""
        if self._moves.robot is not self._driven.robot:
            self._moves = Motions(self._driven.robot)
        return self._moves

    def _on_chunk(self, message: JointTrajectory, refusal: str) -> None:
        stamp_ns, now = time_to_ns(message.header.stamp), moment(self)
        self._chunks += 1
        if not refusal:
            try:
                chunk = trajectory_to_chunk(message)
            except SpecError as error:
                refusal = str(error)
        if refusal:
            with self._lock:
                self._arbiter.refuse(refusal)
            verdict = Verdict(stamp_ns, False, refusal, self._chunks)
        else:
            info = dataclasses.replace(chunk.info, chunk_id=self._chunks)
            seen = dataclasses.replace(chunk, info=info, stamp_ns=now.steady(stamp_ns))
            verdict = self._judge(seen, stamp_ns, now)
        self._outputs.judged(verdict)
        if not verdict.accepted and self._arbiter.engaged:
            self.get_logger().warning(
                f"chunk refused: {verdict.reason}", throttle_duration_sec=1.0
            )

    def _judge(self, chunk: Any, stamp_ns: int, now: Moment) -> Verdict:
        """Hand a chunk, its stamp in steady time, to the arbiter."""
        with self._lock:
            reason = self._arbiter.on_chunk(chunk, now.steady_ns)
            played, cut = self._arbiter.player.chunk, self._arbiter.cut_short
        if reason or played is None:
            return Verdict(stamp_ns, False, reason, self._chunks)
        begin_ns, ahead_ns = now.ros(played.stamp_ns), self._arbiter.ahead_ns
        return Verdict(stamp_ns, True, cut, self._chunks, begin_ns, played.dt_ns, ahead_ns)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        intruders = self._told.intruders = self._outputs.intruders()
        twice = self._sources.contradiction(self._arbiter.fault)
        self._told.note = self._description.note
        self._told.senders = [*filter(None, [twice]), *self._senders.refusals()]
        with self._lock:
            if intruders and self._arbiter.engaged:
                self._arbiter.unheard(intruders)
            for trouble in filter(None, (self._pose.reason, self._description.changed)):
                if self._arbiter.engaged:
                    self._arbiter.fail(trouble)
            self._operator.check()
            self._owners.tell(self._arbiter, moment(self))
        self._words.check()
        if self._told.changed.is_set():  # a reason is told at once, not with the next second
            self._told.changed.clear()
            self._diagnostics.publish()

    def _health(self) -> Health:
        with self._lock:
            return self._reporter.health(self._arbiter, self._decision, self._told)


def main() -> int:
    """Run the node as a process."""
    raise_process_priority()  # before DDS starts its threads
    return spin.run(ArbiterNode)


if __name__ == "__main__":
    sys.exit(main())
