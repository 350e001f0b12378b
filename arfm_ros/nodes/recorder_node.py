"""Record episodes: every topic as serialized bytes, started, labelled and stopped by services."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from arfm_ros.core.errors import ArfmError, ConfigError, EpisodeError
from arfm_ros.episodes.folders import episode_folder
from arfm_ros.nodes.recorder.intake import Intake
from arfm_ros.nodes.recorder.session import Session
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Health, status
from arfm_ros.nodes.ros.params import declare, knob
from arfm_ros.nodes.ros.real_time import make_way
from arfm_ros.nodes.ros.robot_topics import rows
from arfm_ros.nodes.ros.spin import run
from arfm_ros.nodes.ros.topics import Topic
from arfm_ros.robots.files.load import load_robot

IN_FLIGHT_S = 0.1  # what was published before `stop` may still be on its way for so long
CLOSE_TIMEOUT_S = 60.0
STATE_PERIOD_S = 1.0
MB = 1_000_000

ALWAYS = (
    topics.JOINT_STATES,
    topics.GRIPPER_STATES,
    topics.CURRENT_POSE,
    topics.TARGET_JOINT,
    topics.TARGET_POSE,
    topics.GRIPPER_COMMAND,
    topics.TASK_STATE,
    topics.INSTRUCTION,
    topics.ACTION_CHUNK,
    topics.CHUNK_INFO,
    topics.CHUNK_RESULT,
    topics.TELEOP_TARGET,
    topics.TELEOP_ENGAGED,
    topics.ESTOP,
    topics.AUTHORITY,
    topics.ARBITER_COMMAND,
    topics.ARBITER_REQUEST,
    topics.ARBITER_ANSWER,
    topics.OWNERS,
    topics.DISAGREEMENT,
    topics.QUESTION,
    topics.ANSWER,
    topics.EPISODE_LABEL,
    topics.DIAGNOSTICS,
)
IMAGES: Mapping[str, tuple[Topic, ...]] = {
    "raw": (topics.IMAGE,),
    "compressed": (topics.COMPRESSED_IMAGE,),
    "both": (topics.IMAGE, topics.COMPRESSED_IMAGE),
}


@dataclass(frozen=True)
class RecorderParams:
    """What to record, where, and how much may wait for the disk."""

    out: str = knob("episodes", "folder that gets one folder per episode")
    robot: str = knob("fr3", "whose topics to record: a name in config/robots, or a YAML")
    cameras: tuple[str, ...] = knob(("scene", "wrist"), "cameras to record")
    images: str = knob("raw", "which images of them", choices=tuple(IMAGES))
    topics: tuple[str, ...] = knob((), "topics to record instead of the default set")
    extra_topics: tuple[str, ...] = knob((), "topics to record beside the default set")
    buffer_mb: int = knob(128, "most that may wait for the disk; beyond it is counted", 1, 16384)
    min_free_mb: int = knob(200, "refuse to start an episode with less room on the disk", 0)
    period_ms: int = knob(20, "how often to fetch what the middleware received", 1, 200)


def chosen(params: RecorderParams) -> tuple[list[Topic], list[str]]:
    """Give the topics to record and the names whose type only the graph can tell."""
    known = {row.name: row for row in vars(topics).values() if isinstance(row, Topic)}
    for camera in params.cameras:
        for row in (topics.IMAGE, topics.COMPRESSED_IMAGE, topics.CAMERA_INFO):
            known[row.of(camera).name] = row.of(camera)
    own = {row.name: row for row in rows(load_robot(params.robot))}
    known = own | known
    names = list(dict.fromkeys([*(row.name for row in ALWAYS), *own]))
    for camera in params.cameras:
        names += [row.of(camera).name for row in (*IMAGES[params.images], topics.CAMERA_INFO)]
    names = [*(params.topics or names), *params.extra_topics]
    return [known[n] for n in names if n in known], [n for n in names if n not in known]


class RecorderNode(Node):
    """Keep receiving all the time; write while an episode runs."""

    def __init__(self) -> None:
        super().__init__("recorder_node")
        self._params = declare(self, RecorderParams)
        found, self._unresolved = chosen(self._params)
        if not found and not self._unresolved:
            raise ConfigError("recorder_node has nothing to record: set 'topics'")
        latched = [str(self.resolve_topic_name(r.name)) for r in found if r.writer.latched]
        self._session = Session(self._params.buffer_mb * MB, latched)
        self._intake = Intake(self, self._session.receive, self._params.period_ms / 1000)
        for row in found:
            self._intake.add(row)
        self._intake.start()
        self._state = topics.publisher(self, topics.RECORDER_STATE)
        self._diagnostics = Diagnostics(self, self._health)
        topics.service(self, topics.RECORDER_START, self._on_start)
        topics.service(self, topics.RECORDER_STOP, self._on_stop)
        topics.service(self, topics.RECORDER_LABEL, self._on_label)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(STATE_PERIOD_S, self._each_second, clock=steady)
        self.get_logger().info(
            f"ready: {len(found)} topics, episodes go to {Path(self._params.out).resolve()}"
        )

    def close(self) -> None:
        """Finish a running episode, labelled as interrupted."""
        if self._session.recording:
            self._session.label({"interrupted": True, "reason": "recorder was stopped"})
            try:
                self.get_logger().warning(f"interrupted episode kept: {self._stop()}")
            except ArfmError as error:
                self.get_logger().error(str(error))
        self._intake.close()

    def _on_start(self, request: Any, response: Any) -> Any:
        return self._answer(response, self._start)

    def _on_stop(self, request: Any, response: Any) -> Any:
        return self._answer(response, self._stop)

    def _on_label(self, request: Any, response: Any) -> Any:
        def label() -> str:
            self._session.label({"success": bool(request.data)})
            return str(self._session.folder)

        return self._answer(response, label)

    def _answer(self, response: Any, action: Any) -> Any:
        try:
            response.success, response.message = True, action()
        except ArfmError as error:
            response.success, response.message = False, str(error)
            self.get_logger().error(str(error))
        self._publish_state()
        return response

    def _start(self) -> str:
        out = Path(self._params.out).expanduser().resolve()
        self._check_room(out)
        now = datetime.now()
        folder = episode_folder(out, self._session.task(), self._session.episodes + 1, now)
        qos = {name: self._intake.qos(name) for name in self._intake.names}
        self._session.start(folder, qos)
        return str(folder)

    def _stop(self) -> str:
        self._session.end()
        # Everything published until now is still ours; give it time to arrive and be fetched.
        self._intake.drained_since(time.monotonic() + IN_FLIGHT_S, timeout_s=IN_FLIGHT_S + 2.0)
        return str(self._session.close(CLOSE_TIMEOUT_S))

    def _check_room(self, out: Path) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(out).free
        except OSError as error:
            raise EpisodeError(
                f"cannot record into {out}: {error.strerror}; set 'out' to a folder you own"
            ) from error
        if free < self._params.min_free_mb * MB:
            raise EpisodeError(
                f"only {free // MB} MB are free under {out}, needs {self._params.min_free_mb} "
                "('min_free_mb'): free some space or set another 'out'"
            )

    def _each_second(self) -> None:
        if self._intake.error is not None:
            raise self._intake.error
        self._intake.adapt()
        self._resolve()
        self._publish_state()

    def _resolve(self) -> None:
        """Subscribe to topics whose type is known only once somebody publishes them."""
        if not self._unresolved:
            return
        types = dict(self.get_topic_names_and_types())
        for name in list(self._unresolved):
            found = types.get(str(self.resolve_topic_name(name)))
            if found:
                self._intake.add(Topic(name, found[0], topics.STREAM, topics.STREAM))
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
        if session.dropped:
            text = f"{session.dropped} messages dropped: the disk is too slow"
            return Health(WARN, text, session.summary())
        return Health(OK, "recording" if session.recording else "waiting", session.summary())


def main() -> int:
    """Run the node as a process."""
    make_way(whole_process=True)  # queues hold what it has not yet taken
    return run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
