"""The supervisor's ears: one node that listens to everything light, on a thread of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import rclpy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.convert import time_to_ns
from arfm_ros.nodes.ros.executor import Spinner
from arfm_ros.nodes.ros.real_time import make_way
from arfm_ros.nodes.ros.robot_topics import camera_rows
from arfm_ros.robots.files.load import load_robot
from arfm_ros.robots.robot import Robot
from arfm_ros.up.watch.motion import EpisodeMotion, FirstArm
from arfm_ros.up.watch.readings import CommandStep, EpisodeResult, MotionWatch, Readings, StreamGap
from arfm_ros.wire.cdr import header_stamp_ns as stamp_of

ACTIVE = 3  # lifecycle_msgs/msg/State.PRIMARY_STATE_ACTIVE
POLL_PERIOD_S = 0.2
ANSWER_S = 2.0  # without an answer it is asked again
HEAR_OUT_S = 5.0
PAUSE_NS = 100_000_000  # without a command: what comes next is not one step from the last
DRIVEN = ("policy", "human", "words")  # authorities that may move the arm
ALL_OF_IT = topics.Qos(reliable=True, depth=200)
ALL_BEST_EFFORT = topics.Qos(reliable=False, depth=200)


class Observer:
    """Listen until `close`; `readings` is what was heard, `lock` guards it."""

    def __init__(
        self,
        namespace: str,
        cameras: Sequence[str],
        steps: CommandStep,
        robot: Robot | None = None,
    ) -> None:
        self.readings = Readings(frames={name: StreamGap(stamps_ns=[]) for name in cameras})
        self.steps = steps
        self.lock = threading.Lock()
        self._motion = MotionWatch()
        self._driven_once = False
        self._commanded_ns = 0  # stamp of the last command
        self._robot = robot or load_robot("fr3")
        self._arm = FirstArm(self._robot)
        self._moved = EpisodeMotion(topics.interface(topics.JOINT_STATES.type_name), self._arm)
        self._begin_s = time.monotonic()
        self._asked: Any = None
        self._asked_s = 0.0
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(
            "arfm_up", namespace=namespace, context=self._context, start_parameter_services=False
        )
        self._get_state = topics.client(self._node, topics.POLICY_STATE)
        self._state_request = topics.interface(topics.POLICY_STATE.type_name).Request()
        self._joint_state = topics.interface(topics.JOINT_STATES.type_name)
        self._listen(cameras)
        self._node.create_timer(POLL_PERIOD_S, self._ask_policy)
        self._executor = Spinner(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="observer", daemon=True)
        self._thread.start()

    def begin(self, begin_s: float) -> None:
        """Count the time to first motion from `begin_s` of the monotonic clock."""
        self._begin_s = begin_s

    def hear_out(self, episodes: int) -> None:
        """Wait until the results of so many episodes were heard: the last one may lie in a queue.

        Other threads come first (`make_way`), and on a busy machine that takes a moment.
        """
        until_s = time.monotonic() + HEAR_OUT_S
        while time.monotonic() < until_s:
            with self.lock:
                if len(self.readings.episodes) >= episodes:
                    return
            time.sleep(POLL_PERIOD_S / 4)

    def close(self) -> None:
        """Stop listening."""
        self._context.try_shutdown()
        self._thread.join(timeout=2.0)
        self._executor.shutdown(timeout_sec=1.0)

    def _listen(self, cameras: Sequence[str]) -> None:
        listened = (
            (topics.DIAGNOSTICS, self._on_diagnostics, None),
            (topics.CHUNK_INFO, self._on_chunk_info, None),
            (topics.TASK_STATE, self._on_task, None),
            (topics.RECORDER_STATE, self._on_recorder, None),
            (topics.AUTHORITY, self._on_authority, None),
            (topics.TELEOP_ENGAGED, self._on_teleop, None),
            (topics.EPISODE_RESULT, self._on_result, None),
            (topics.ARBITER_COMMAND, self._on_command, ALL_BEST_EFFORT),
        )
        for row, callback, qos in listened:
            topics.subscription(self._node, row, self._locked(callback), qos)
        # of what comes often only the stamp is read
        entries = camera_rows(self._robot, cameras) if cameras else {}
        often = [(one.info, self._frame_counter(name)) for name, one in entries.items()]
        for row, callback in often:
            topics.subscription(self._node, row, self._locked(callback), ALL_OF_IT, raw=True)
        joints = self._locked(self._on_joints)
        states = topics.JOINT_STATES.at(self._arm.topic)
        topics.subscription(self._node, states, joints, ALL_BEST_EFFORT, raw=True)

    def _locked(self, callback: Any) -> Any:
        def call(message: Any) -> None:
            with self.lock:
                callback(message)

        return call

    def _spin(self) -> None:
        make_way()
        self._executor.spin_to_shutdown()

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            node = status.name.split(":")[0].rsplit("/", 1)[-1]
            self.readings.heard.add(node)
            values = {pair.key: pair.value for pair in status.values}
            self.readings.heard.add(node)
            self.readings.health.setdefault(node, {}).update(values)
            self.readings.take_values(values)
            self.readings.complaints.pop(node, None)
            if status.level != b"\x00":
                self.readings.complaints[node] = status.message

    def _on_chunk_info(self, message: Any) -> None:
        for status in message.status:
            self.readings.take_values({pair.key: pair.value for pair in status.values})

    def _on_task(self, message: Any) -> None:
        for status in message.status:
            self.readings.task = {"task": status.name} | {p.key: p.value for p in status.values}

    def _on_recorder(self, message: Any) -> None:
        self.readings.heard.add(topics.RECORDER_STATE.name)
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.readings.recorder = values
            if values.get("folder"):
                self.readings.bags[values["folder"]] = values

    def _on_authority(self, message: Any) -> None:
        self.readings.heard.add(topics.AUTHORITY.name)
        self._driven_once = self._driven_once or message.data in DRIVEN
        if message.data not in DRIVEN:
            self.steps.forget()
        self.readings.authority = message.data

    def _on_teleop(self, message: Any) -> None:
        self.readings.heard.add(topics.TELEOP_ENGAGED.name)

    def _on_result(self, message: Any) -> None:
        episode, smooth = EpisodeResult.parse(json.loads(message.data)), self._moved.finish()
        self.readings.episodes.append(replace(episode, smooth=smooth))

    def _on_joints(self, cdr: bytes) -> None:
        if self._driven_once:  # while processes start and import, the machine is not idle
            self.readings.joint_states.add(stamp_of(cdr))
        if self.readings.authority in DRIVEN:
            self._moved.state(cdr)
        if self.readings.first_motion_s is None:
            message = deserialize_message(cdr, self._joint_state)
            driven = self.readings.authority in DRIVEN
            if self._motion.moved(driven, message.name, message.position):
                self.readings.first_motion_s = time.monotonic() - self._begin_s

    def _on_command(self, message: Any) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        passed_ns = stamp_ns - self._commanded_ns
        if passed_ns > PAUSE_NS:
            self.steps.forget()  # the arm may have been put elsewhere meanwhile
        self._commanded_ns = stamp_ns
        if self.readings.authority in DRIVEN:
            self.steps.add(message.name, message.position, passed_ns * 1e-9)
            self._moved.command(message)

    def _frame_counter(self, camera: str) -> Any:
        def count(cdr: bytes) -> None:
            self.readings.heard.add(topics.CAMERA_INFO.name)
            self.readings.frames[camera].add(stamp_of(cdr))

        return count

    def _ask_policy(self) -> None:
        """Ask the policy for its lifecycle state until it is active.

        Asked again where no answer comes: a server drops the one whose reader it has not found.
        """
        ready = self._get_state.service_is_ready()
        if topics.POLICY_STATE.name in self.readings.heard or not ready:
            return
        now_s = time.monotonic()
        if self._asked is None or self._asked.done() or now_s - self._asked_s > ANSWER_S:
            self._asked, self._asked_s = self._get_state.call_async(self._state_request), now_s
            self._asked.add_done_callback(self._on_policy_state)

    def _on_policy_state(self, future: Any) -> None:
        answer = future.result()
        if answer is not None and answer.current_state.id == ACTIVE:
            with self.lock:
                self.readings.heard.add(topics.POLICY_STATE.name)
