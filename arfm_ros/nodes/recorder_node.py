"""Record episodes: every topic as serialized bytes, started, labelled and stopped by services."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.core.errors import ArfmError, ConfigError
from arfm_ros.episodes.folders import episode_folder, unfinished_episodes
from arfm_ros.episodes.labels import DISCARDED_KEY
from arfm_ros.nodes.recorder.about import about
from arfm_ros.nodes.recorder.intake import Intake
from arfm_ros.nodes.recorder.losses import LOOK_S
from arfm_ros.nodes.recorder.parameters import ParameterSurvey
from arfm_ros.nodes.recorder.params import RecorderParams, cameras_of, chosen, is_sensor
from arfm_ros.nodes.recorder.pictures import RawInstead
from arfm_ros.nodes.recorder.room import MB, check_room, too_little
from arfm_ros.nodes.recorder.session import Session
from arfm_ros.nodes.recorder.times import ANSWER_S, CLOSE_S, DRAIN_S, IN_FLIGHT_S
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Health, status
from arfm_ros.nodes.ros.params import declare
from arfm_ros.nodes.ros.real_time import make_way
from arfm_ros.nodes.ros.spin import run
from arfm_ros.nodes.ros.topics import Topic

STATE_PERIOD_S = 1.0


class RecorderNode(Node):
    """Keep receiving all the time; write while an episode runs."""

    def __init__(self) -> None:
        super().__init__("recorder_node")
        self._params = declare(self, RecorderParams)
        self._about = about(self._params)
        self._out = Path(self._params.out).expanduser().resolve()
        found, self._unresolved = chosen(self._params)
        if not found and not self._unresolved:
            raise ConfigError("recorder_node has nothing to record: set 'topics'")
        latched = [str(self.resolve_topic_name(r.name)) for r in found if r.writer.latched]
        self._session = Session(self._params.buffer_mb * MB, latched)
        self._intake = Intake(self, self._session.receive, self._params.period_ms / 1000)
        for row in found:
            self._add(row)
        compressed = self._params.images == "compressed" and not self._params.topics
        cameras = cameras_of(self._params) if compressed else {}
        self._raw_instead = RawInstead(self, cameras.values(), self._add)
        self._survey = ParameterSurvey(self, self._on_parameters)
        self._intake.start()
        self._state = topics.publisher(self, topics.RECORDER_STATE)
        self._diagnostics = Diagnostics(self, self._health)
        topics.service(self, topics.RECORDER_START, self._on_start)
        topics.service(self, topics.RECORDER_STOP, self._on_stop)
        topics.service(self, topics.RECORDER_DISCARD, self._on_discard)
        topics.service(self, topics.RECORDER_LABEL, self._on_label)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(STATE_PERIOD_S, self._each_second, clock=steady)
        self._look_timer = self.create_timer(LOOK_S, self._look, clock=steady)
        self.get_logger().info(f"ready: {len(found)} topics, episodes go to {self._out}")
        self._tell_unfinished()

    def close(self) -> None:
        """Finish a running episode, labelled as interrupted."""
        if self._session.recording:
            try:
                why = {"interrupted": True, "reason": "recorder was stopped"}
                self.get_logger().warning(f"interrupted episode kept: {self._stop(why)}")
            except ArfmError as error:
                self.get_logger().error(str(error))
        self._intake.close()
        try:
            self._session.finish(CLOSE_S)
        except ArfmError as error:
            self.get_logger().error(str(error))

    def _add(self, row: Topic) -> str:
        name = self._intake.add(row)
        if is_sensor(row):
            self._session.losses.sensors.add(name)
        return name

    def _tell_unfinished(self) -> None:
        left = unfinished_episodes(self._out) if self._out.is_dir() else []
        if left:
            self.get_logger().warning(
                f"{len(left)} unfinished episodes lie in {self._out}, first {left[0].name}: "
                f"arfm episodes recover {self._out}"
            )

    def _on_start(self, request: Any, response: Any) -> Any:
        return self._answer(response, self._start)

    def _on_stop(self, request: Any, response: Any) -> Any:
        return self._answer(response, self._stop)

    def _on_discard(self, request: Any, response: Any) -> Any:
        return self._answer(response, lambda: self._stop({DISCARDED_KEY: True}))

    def _on_label(self, request: Any, response: Any) -> Any:
        def label() -> str:
            self._session.label({"success": bool(request.data)}).wait(ANSWER_S)
            return str(self._session.folder)

        return self._answer(response, label)

    def _on_parameters(self, node: str, values: Mapping[str, Any]) -> None:
        self._session.tell({f"parameters:{node}": values})

    def _answer(self, response: Any, action: Any) -> Any:
        try:
            response.success, response.message = True, action()
        except ArfmError as error:
            response.success, response.message = False, str(error)
            self.get_logger().error(str(error))
        self._publish_state()
        return response

    def _start(self) -> str:
        check_room(self._out, self._params.min_free_mb)
        now = datetime.now()
        number = self._session.episodes + 1
        folder = episode_folder(self._out, self._session.task(), number, now)
        qos = {name: self._intake.qos(name) for name in self._intake.names}
        self._session.start(folder, qos, self._about)
        self._survey.begin()
        return str(folder)

    def _stop(self, label: Mapping[str, object] | None = None) -> str:
        """End the episode, with a last label; return its folder, which is there then."""
        if label:
            self._session.label(label)
        self._session.end()
        # Everything published until now is still ours; give it time to arrive and be fetched.
        self._intake.drained_since(time.monotonic() + IN_FLIGHT_S, timeout_s=DRAIN_S)
        why = str((label or {}).get("reason", "service"))
        return str(self._session.close(CLOSE_S, why))

    def _each_second(self) -> None:
        if self._intake.error is not None:
            raise self._intake.error
        self._intake.adapt()
        self._raw_instead.look()
        self._resolve()
        self._publish_state()

    def _look(self) -> None:
        """Tell of losses at once, and stop while there is still room to do it well."""
        self._survey.poll()
        if self._session.look():
            self._diagnostics.publish()
            self._publish_state()
        if self._session.recording and not self._session.failure:
            if why := too_little(self._out, self._params.stop_free_mb):
                self._stop_early(why)

    def _stop_early(self, why: str) -> None:
        try:
            kept = self._stop({"truncated": True, "reason": why})
            self._session.failure = f"the episode was ended and kept in {kept}: {why}"
        except ArfmError as error:
            self._session.failure = str(error)
        self.get_logger().error(self._session.failure)
        self._diagnostics.publish()
        self._publish_state()

    def _resolve(self) -> None:
        """Subscribe to topics whose type is known only once somebody publishes them."""
        if not self._unresolved:
            return
        types = dict(self.get_topic_names_and_types())
        for name in list(self._unresolved):
            found = types.get(str(self.resolve_topic_name(name)))
            if found:
                self._add(Topic(name, found[0], topics.STREAM, topics.STREAM))
                self._unresolved.remove(name)

    def _publish_state(self) -> None:
        health = self._health()
        namespace = self.get_namespace().rstrip("/") + "/"
        values = dict(health.values) | self._session.counts(namespace)
        message = DiagnosticArray(
            status=[status("recorder", Health(health.level, health.message, values))]
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._state.publish(message)

    def _health(self) -> Health:
        session = self._session
        if session.failure:
            return Health(ERROR, session.failure, session.summary())
        if session.dropped or (missing := session.losses.text()):
            slow = f"{session.dropped} messages dropped: the disk is too slow"
            return Health(WARN, slow if session.dropped else missing, session.summary())
        return Health(OK, "recording" if session.recording else "waiting", session.summary())


def main() -> int:
    """Run the node as a process."""
    make_way(whole_process=True)  # queues hold what it has not yet taken
    return run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
