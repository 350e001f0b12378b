"""The whole stack as a user starts it: simulation, policy, arbiter, recorder, rollout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from policy_rig import write_bundle  # noqa: E402

from arfm_ros.episodes.reader import EpisodeReader  # noqa: E402

pytestmark = pytest.mark.robot
ROOT = Path(__file__).resolve().parents[2]
NODES = ("sim_node", "policy_node", "arbiter_node", "recorder_node", "rollout_node")
TIMEOUT_S = 150.0


class Up:
    """`arfm up franka --sim` as a process of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        bundle = write_bundle(folder / "bundle")
        self.out, self.json = folder / "episodes", folder / "out.json"
        command = ["up", "franka", "--sim", "--policy", str(bundle), "--task", "reach"]
        command += ["--out", str(self.out), "--json", str(self.json), *words]
        env = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}
        env |= {"ROS_LOG_DIR": str(folder / "log"), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "arfm_ros.cli", *command],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.nodes: dict[str, psutil.Process] = {}

    def wait_for_recording(self) -> None:
        """Wait until an episode has been growing for a while."""
        until = time.monotonic() + TIMEOUT_S
        while sum(path.stat().st_size for path in self.out.rglob("*.mcap")) < 500_000:
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until, "no episode began"
            time.sleep(0.1)
        for child in psutil.Process(self.process.pid).children():
            for name in NODES:
                if f"arfm_ros.nodes.{name}" in child.cmdline():
                    self.nodes[name] = child

    def end(self) -> str:
        """Wait for the end; return what was printed."""
        try:
            return self.process.communicate(timeout=TIMEOUT_S)[0]
        finally:
            self.process.kill()

    def report(self) -> dict[str, Any]:
        """Read the JSON."""
        return dict(json.loads(self.json.read_text()))

    def left_behind(self) -> list[str]:
        """Name the nodes that still run."""
        return [name for name, node in self.nodes.items() if node.is_running()]


def test_a_run_ends_with_bags_counts_latencies_and_the_bundle(tmp_path: Path) -> None:
    up = Up(tmp_path, "--episodes", "2", "--time-limit", "1.5", "--seed", "5")
    said = up.end()
    assert up.process.returncode == 0, said
    report = up.report()
    assert [one["task"] for one in report["episodes"]] == ["reach", "reach"]
    assert [one["seed"] for one in report["episodes"]] == [5, 6]
    for one in report["episodes"]:
        reader = EpisodeReader(Path(one["bag"]))
        assert reader.damage == []
        assert reader.label()["success"] is one["success"]
        assert {"/joint_states", "/arbiter/command", "/policy/action_chunk"} <= set(reader.topics)
    for camera in ("scene", "wrist"):
        count = report["frames"][camera]
        assert count["published"] == count["recorded"] > 0
    assert {"p50", "p99", "max"} <= set(report["latency_ms"]["sensor_to_chunk"])
    assert set(report["bundle"]) == {"name", "sha256"}
    assert report["success_rate"] is not None
    assert report["command_step"]["largest_over_limit"] <= 1.0


def test_ctrl_c_in_an_episode_leaves_no_process_and_keeps_the_episode(tmp_path: Path) -> None:
    up = Up(tmp_path)
    up.wait_for_recording()
    up.process.send_signal(signal.SIGINT)
    up.end()
    assert up.process.returncode == 130
    assert set(up.nodes) == set(NODES)
    assert up.left_behind() == []
    assert up.report()["interrupted"] is True
    (bag,) = up.out.iterdir()
    assert EpisodeReader(bag).damage == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NODES)
def test_a_killed_node_ends_the_run_and_the_bag_stays_readable(name: str, tmp_path: Path) -> None:
    up = Up(tmp_path)
    up.wait_for_recording()
    up.nodes[name].kill()
    said = up.end()
    assert up.process.returncode == 1
    assert f"{name} died (signal SIGKILL)" in said
    assert up.left_behind() == []
    (bag,) = up.out.iterdir()
    reader = EpisodeReader(bag)
    assert sum(1 for _ in reader.records({"/joint_states"})) > 100
