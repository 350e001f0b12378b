"""The rollout node waits for the others, whatever comes first, and asks again what got lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import rclpy  # noqa: E402
from client_rig import Client  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402
from arfm_ros.nodes.ros.diagnostics import Health, status  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Others(Client):
    """Simulator, policy, arbiter and recorder, as far as the rollout node can tell."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self.refusals: list[str] = []  # what the arbiter still answers before it agrees
        self.engaged: list[bool] = []
        self.starts, self.recording, self.disk_full = 0, False, False
        self.results: list[dict[str, Any]] = []
        self.sim = rclpy.create_node("sim_node", context=self.context)
        self.sim.declare_parameter("task", "reach"), self.sim.declare_parameter("seed", 0)
        self.executor.add_node(self.sim)
        self.task = topics.publisher(self.node, topics.TASK_STATE)
        self.chunks = topics.publisher(self.node, topics.ACTION_CHUNK)
        self.state = topics.publisher(self.node, topics.RECORDER_STATE)
        self.authority = topics.publisher(self.node, topics.AUTHORITY)
        self.braking, self.resets = 0, []  # ticks until it is idle; authorities at each reset
        self.said = "idle"
        topics.subscription(self.node, topics.EPISODE_RESULT, self._on_result)
        self.sim.create_timer(0.05, self._tell)

    def serve(self) -> None:
        """Offer the services."""
        agree = lambda text: lambda request, response: self._answer(response, True, text)  # noqa: E731
        served: dict[topics.Service, Callable[[Any, Any], Any]] = {
            topics.SIM_RESET: self._reset,
            topics.ARBITER_ENGAGE: self._engage,
            topics.RECORDER_START: self._start,
            topics.RECORDER_LABEL: agree(""),
            topics.RECORDER_STOP: self._stop,
        }
        for row, callback in served.items():
            topics.service(self.node, row, callback)

    def _answer(self, response: Any, success: bool, text: str) -> Any:
        response.success, response.message = success, text
        return response

    def _engage(self, request: Any, response: Any) -> Any:
        if request.data and self.refusals:
            return self._answer(response, False, self.refusals.pop(0))
        self.engaged.append(bool(request.data))
        self.braking = 0 if request.data else 10
        self.said = "policy" if request.data else self.said
        return self._answer(response, True, "")

    def _reset(self, request: Any, response: Any) -> Any:
        self.resets.append(self.said)
        text = json.dumps({"task": "reach", "seed": 0, "instruction": "go"})
        return self._answer(response, True, text)

    def _start(self, request: Any, response: Any) -> Any:
        self.starts += 1
        if self.recording:
            return self._answer(response, False, "already recording")
        self.recording = True
        return self._answer(response, True, "bag")

    def _stop(self, request: Any, response: Any) -> Any:
        self.recording = False
        if self.disk_full:
            return self._answer(response, False, "the disk is full")
        return self._answer(response, True, "bag")

    def _on_result(self, message: String) -> None:
        self.results.append(json.loads(message.data))

    def _tell(self) -> None:
        now = self.node.get_clock().now().to_msg()
        self.braking = max(self.braking - 1, 0)
        if not self.braking and self.engaged[-1:] != [True]:
            self.said = "idle"
        self.authority.publish(String(data=self.said))
        values = {"seed": 0, "success": True, "elapsed_s": now.sec % 1000 + now.nanosec * 1e-9}
        self.task.publish(DiagnosticArray(status=[status("reach", Health(values=values))]))
        chunk = JointTrajectory()
        chunk.header.stamp = now
        self.chunks.publish(chunk)
        told = {"recording": str(self.recording).lower(), "folder": "bag" if self.starts else ""}
        self.state.publish(DiagnosticArray(status=[status("recorder", Health(values=told))]))


@pytest.fixture
def others(ros_domain: int) -> Iterator[Others]:
    made = Others(ros_domain)
    yield made
    made.close()


@pytest.fixture
def rollout(others: Others, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(**parameters: object) -> subprocess.Popen[str]:
        given = {"task": "reach", "episodes": 1, "hold": 0.1} | parameters
        words = [w for name, value in given.items() for w in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "arfm_ros.nodes.rollout_node", "--ros-args", *words]
        env = os.environ | {"PYTHONPATH": str(ROOT), "ROS_LOG_DIR": str(tmp_path)}
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_refusal_to_engage_that_passes_ends_no_run(others: Others, rollout: Any) -> None:
    others.refusals = ["no joint state on joint_states: robot running?", "two publishers"]
    others.serve()
    process = rollout()
    others.until(lambda: process.poll() is not None, timeout_s=40.0)
    assert process.returncode == 0, process.communicate()
    assert others.engaged == [False, True, False]
    assert others.results[0]["success"] is True


def test_a_refusal_that_stays_ends_the_run_with_its_words(others: Others, rollout: Any) -> None:
    others.refusals = ["no joint state on joint_states: robot running?"] * 100
    others.serve()
    process = rollout(patience=4.0)
    others.until(lambda: process.poll() is not None, timeout_s=40.0)
    said = process.communicate()[1]
    assert process.returncode == 1
    assert "arbiter/engage" in said and "no joint state" in said and "'patience'" in said


def test_the_arm_is_put_elsewhere_only_when_nobody_commands_it(
    others: Others, rollout: Any
) -> None:
    """It brakes first: an old target would pull the arm of the next episode away."""
    others.serve()
    process = rollout(episodes=3)
    others.until(lambda: process.poll() is not None, timeout_s=40.0)
    assert process.returncode == 0, process.communicate()
    assert others.resets == ["idle"] * 3


def test_a_recorder_that_fails_is_believed(others: Others, rollout: Any) -> None:
    others.disk_full = True
    others.serve()
    process = rollout()
    others.until(lambda: process.poll() is not None, timeout_s=40.0)
    assert process.returncode == 1
    assert "recorder/stop refused: the disk is full" in process.communicate()[1]


def test_services_that_come_late_are_waited_for(others: Others, rollout: Any) -> None:
    process = rollout()
    others.until(lambda: "rollout_node" in others.node.get_node_names())
    others.serve()
    others.until(lambda: process.poll() is not None, timeout_s=40.0)
    assert process.returncode == 0, process.communicate()


def test_a_recording_that_began_though_the_answer_was_lost_is_not_begun_twice(
    others: Others, rollout: Any
) -> None:
    """The question is heard, no answer comes: the recorder's own words settle it."""
    others.serve()
    service: Any = next(s for s in others.node.services if s.srv_name.endswith("recorder/start"))
    service.send_response = lambda response, header: None
    process = rollout()
    others.until(lambda: process.poll() is not None, timeout_s=60.0)
    assert process.returncode == 0, process.communicate()
    assert others.starts >= 1 and others.results[0]["bag"] == "bag"
