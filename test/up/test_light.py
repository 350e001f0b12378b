"""The robot side beside a robot of recorded pictures: it drives, and what it costs is told."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from rclpy.serialization import deserialize_message  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402

from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.up.light.robot import Prepared, pictures  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def arfm(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}
    env |= {"ROS_LOG_DIR": str(cwd / "log"), "PYTHONPATH": str(ROOT), "MUJOCO_GL": "egl"}
    command = [sys.executable, "-m", "arfm_ros.cli", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    done = arfm("demos", "--task", "reach", "--episodes", 1, "--out", folder / "e", cwd=folder)
    assert done.returncode == 0, done.stderr
    return next(path.parent for path in (folder / "e").rglob("*.mcap"))


def test_a_prepared_message_has_its_new_stamp_and_numbers() -> None:
    message = JointState(name=["a", "bcd"], position=[1.5, 2.5], velocity=[50.5, 51.5])
    prepared = Prepared(message, [1.5, 2.5], [50.5, 51.5])
    for n in range(3):
        told = deserialize_message(prepared.at(7_000_000_003 + n, [n, -n], [0.1, n]), JointState)
        assert (told.header.stamp.sec, told.header.stamp.nanosec) == (7, 3 + n)
        assert list(told.position) == [n, -n] and list(told.velocity) == [0.1, n]
        assert list(told.name) == ["a", "bcd"]


def test_pictures_are_those_of_the_episode_and_none_is_said(episode: Path) -> None:
    kept = pictures(episode, "scene")
    assert len(kept) > 5 and len(kept[0].at(0)) > 240 * 320 * 3
    assert struct.unpack_from("<iI", kept[0].at(5_000_000_001), 4) == (5, 1)
    with pytest.raises(ConfigError, match="no pictures of camera ceiling"):
        pictures(episode, "ceiling")


@pytest.mark.slow
@pytest.mark.robot
def test_the_policy_drives_it_and_costs_are_told_by_node(episode: Path, tmp_path: Path) -> None:
    out = tmp_path / "costs.json"
    done = arfm("bench", "stack", "--source", episode, "--seconds", 4, "--json", out, cwd=tmp_path)
    assert out.is_file(), done.stdout + done.stderr
    costs = json.loads(out.read_text())
    assert set(costs["shares"]) == {"policy_node", "arbiter_node", "recorder_node"}
    assert all(share > 1.0 for share in costs["shares"].values())
    assert 0.0 < costs["network"] < costs["shares"]["policy_node"]
    assert costs["chunks"] > 3 and costs["overhead_ms"]["p50"] > 0.0
    assert "percent of one core" in done.stdout
