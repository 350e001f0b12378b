"""The supervisor: real processes, real deaths; and what it makes of what it hears."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from arfm_ros.bringup import NODES, RANGE_VARIABLE, NodeProcess, Setup, environment
from arfm_ros.nodes.ros.robot_topics import CameraRows
from arfm_ros.up import domain
from arfm_ros.up.watch.frames import FrameCount, count_bags
from arfm_ros.up.watch.readings import CommandStep, EpisodeResult, MotionWatch, Readings, StreamGap

pytest.importorskip("rclpy")

from client_rig import Client  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402
from arfm_ros.up.stack.run import own_domain  # noqa: E402
from arfm_ros.up.stack.supervisor import NodeDied, Supervisor, Watched  # noqa: E402
from arfm_ros.up.watch.observer import Observer  # noqa: E402


def recorder_and_arbiter(out: Path) -> tuple[NodeProcess, ...]:
    """Two real nodes that start quickly and need neither OpenGL nor a policy."""
    env = environment()
    return (
        replace(NODES["recorder_node"], parameters={"out": str(out)}, env=env),
        replace(NODES["arbiter_node"], env=env),
    )


class Run:
    """A supervised run in which `act(supervisor)` happens once everything is ready."""

    def __init__(self, folder: Path, act: Callable[[dict[str, int]], None]) -> None:
        self.observer = Observer("", (), CommandStep({}, 0.01))
        self._act = act
        nodes = recorder_and_arbiter(folder / "episodes")
        self.supervisor = Supervisor(nodes, folder, self.observer.readings, self._look)
        self.pids: dict[str, int] = {}

    def _look(self, watched: Watched) -> None:
        if not self.pids and set(watched.states.values()) == {"ready"}:
            children = self.supervisor._children.values()
            self.pids = {child.name: child.pid for child in children}
            self._act(self.pids)

    def run(self) -> list[str]:
        try:
            return self.supervisor.run()
        finally:
            self.observer.close()

    def left_behind(self) -> list[str]:
        return [name for name, pid in self.pids.items() if psutil.pid_exists(pid)]


def test_a_result_that_is_still_on_its_way_is_heard_out(ros_domain: int) -> None:
    client = Client(ros_domain)
    publisher = topics.publisher(client.node, topics.EPISODE_RESULT)
    for task in ("reach", "lift"):  # before anybody listens
        publisher.publish(String(data=json.dumps({"task": task})))
    observer = Observer("", (), CommandStep({}, 0.01))
    late = threading.Timer(0.3, lambda: publisher.publish(String(data='{"task": "push"}')))
    late.start()
    observer.hear_out(3)
    heard = [episode.task for episode in observer.readings.episodes]
    observer.close(), client.close()
    assert heard == ["reach", "lift", "push"]


def test_a_killed_node_is_named_with_its_signal_and_the_others_are_stopped(
    ros_domain: int, tmp_path: Path
) -> None:
    run = Run(tmp_path, lambda pids: os.kill(pids["arbiter_node"], signal.SIGKILL))
    with pytest.raises(NodeDied, match=r"arbiter_node died \(signal SIGKILL\)"):
        run.run()
    assert len(run.pids) == 2
    assert run.left_behind() == []


def test_ctrl_c_stops_every_process_and_is_no_error(ros_domain: int, tmp_path: Path) -> None:
    run = Run(tmp_path, lambda pids: os.kill(os.getpid(), signal.SIGINT))
    assert run.run() == []
    assert run.supervisor.watched.interrupted
    assert len(run.pids) == 2
    assert run.left_behind() == []


def test_a_node_that_refuses_to_start_ends_the_run_with_its_own_words(
    ros_domain: int, tmp_path: Path
) -> None:
    observer = Observer("", (), CommandStep({}, 0.01))
    nodes = (NodeProcess("recorder_node", {"bufer_mb": 1}, env=environment()),)
    supervisor = Supervisor(nodes, tmp_path, observer.readings, lambda watched: None)
    try:
        with pytest.raises(NodeDied, match="did you mean 'buffer_mb'"):
            supervisor.run()
    finally:
        observer.close()


def test_a_child_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import os, signal, threading\n"
        "print(os.getpid(), flush=True)\n"
        "threading.Event().wait(60)\n"
    )
    parent = (
        "import os, subprocess, sys\n"
        "os.environ['ARFM_SUPERVISOR_PID'] = str(os.getpid())\n"
        "command = [sys.executable, '-m', 'arfm_ros.up.stack.child', 'sleeper']\n"
        "subprocess.Popen(command, start_new_session=True).wait()\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    sleeper = psutil.Process(int(process.stdout.readline()))
    process.kill()
    assert sleeper.wait(timeout=10) in {None, 0, 1, 130, -signal.SIGINT}
    process.wait()


def test_a_reserved_domain_is_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    free = [number for number in domain.DOMAINS if not domain.in_use(number)][-2:]
    monkeypatch.setattr(domain, "DOMAINS", free)
    taken = [domain.reserve_domain() for _ in range(2)]
    try:
        assert {number for number, _ in taken} == set(free)
        with pytest.raises(domain.ConfigError, match="all ROS domains"):
            domain.reserve_domain()
    finally:
        for _, reservation in taken:
            assert reservation is not None
            reservation.close()


def test_the_domain_that_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert domain.reserve_domain() == (42, None)
    monkeypatch.setenv("ROS_DOMAIN_ID", "my robot")
    with pytest.raises(domain.ConfigError, match="needs a number"):
        domain.reserve_domain()


def test_a_simulation_has_a_domain_on_this_machine_only_and_gives_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ROS_DOMAIN_ID", RANGE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with own_domain(Setup(sim=True)):
        assert os.environ["ROS_DOMAIN_ID"] and os.environ[RANGE_VARIABLE] == "LOCALHOST"
    with own_domain(Setup(sim=False)):
        assert dict(os.environ) == before
    assert dict(os.environ) == before


def test_a_domain_with_a_listener_counts_as_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    number, reservation = domain.reserve_domain()  # free now, and no other test takes it
    assert reservation is not None and not domain.in_use(number)
    with reservation, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 7400 + 250 * number + 10))
        assert domain.in_use(number)


def test_rate_and_largest_gap_come_from_the_stamps() -> None:
    gap = StreamGap(stamps_ns=[])
    for stamp_ms in (0, 4, 8, 30, 34):
        gap.add(stamp_ms * 10**6)
    assert gap.largest_gap_ns == 22 * 10**6
    assert gap.rate_hz == pytest.approx(4 / 0.034)
    assert gap.between(4 * 10**6, 30 * 10**6) == 3


def test_a_command_step_is_measured_in_parts_of_the_limit() -> None:
    steps = CommandStep({"j": 2.0}, dt_s=0.01)
    for position in (0.0, 0.01, 0.02):
        steps.add(["j", "gripper"], [position, 5 * position])
    assert steps.largest == pytest.approx(0.5)
    steps.forget()
    steps.add(["j"], [3.0])
    assert steps.largest == pytest.approx(0.5)


def test_motion_begins_when_a_driven_joint_leaves_its_place() -> None:
    watch = MotionWatch()
    assert not watch.moved(False, ["j"], [1.0])  # a reset moves the arm, nobody drives
    assert not watch.moved(True, ["j"], [1.001])
    assert watch.moved(True, ["j"], [1.003])


def test_stage_latencies_are_found_among_other_values() -> None:
    readings = Readings()
    readings.take_values({"encode.p50_ms": "3.5", "encode.max_ms": "9", "chunk_age_ms": "1"})
    assert readings.latency_ms == {"encode": {"p50": 3.5, "max": 9.0}}


def test_a_lost_frame_shows_whoever_of_the_two_witnesses_saw_it() -> None:
    seen = StreamGap(stamps_ns=[10, 20, 30, 40])
    counts = {"first_ns": "10", "last_ns": "40"}
    topic = "scene/image_raw"
    bag = {topic: "3", f"{topic}.published": "3"}
    bag |= {f"{topic}.{name}": value for name, value in counts.items()}
    rows = {"scene": CameraRows.of("scene")}
    assert count_bags([bag], {"scene": seen}, rows) == {"scene": FrameCount(4, 3)}
    bag[f"{topic}.published"] = "5"
    assert count_bags([bag, bag], {"scene": seen}, rows) == {"scene": FrameCount(10, 6)}


def test_an_episode_result_is_read_as_it_was_published() -> None:
    raw = {"index": 1, "task": "lift", "seed": 4, "success": True, "seconds": 3.2, "bag": "/b"}
    assert EpisodeResult.parse(raw) == EpisodeResult(1, "lift", 4, True, 3.2, "/b")


def test_no_thread_of_the_supervisor_outlives_it() -> None:
    assert not [t for t in threading.enumerate() if t.name == "observer"]
