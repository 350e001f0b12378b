"""An arm that is nothing but a YAML and a URDF goes through demos, train, export and up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
pytest.importorskip("torch")

from arfm_ros.episodes.reader import EpisodeReader  # noqa: E402
from arfm_ros.robots.files.load import load_robot  # noqa: E402

pytestmark = [pytest.mark.robot, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
ARM = ROOT / "test" / "robots" / "made_up_arm" / "arm.yaml"
TIMEOUT_S = 600.0


def arfm(*words: object, cwd: Path) -> str:
    env = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}
    env |= {"ROS_LOG_DIR": str(cwd / "log"), "PYTHONPATH": str(ROOT), "MUJOCO_GL": "egl"}
    command = [sys.executable, "-m", "arfm_ros.cli", *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_goes_through_demos_train_export_and_up(tmp_path: Path) -> None:
    said = arfm("demos", "--robot", ARM, "--task", "reach", "--episodes", 4, "--out", "demos",
                cwd=tmp_path)  # fmt: skip
    assert "reach: " in said
    arfm("train", "demos", "--robot", ARM, "--out", "run", "--steps", 4, "--batch", 4,
         "--threads", 1, cwd=tmp_path)  # fmt: skip
    arfm("export", "run", "--out", "bundle", cwd=tmp_path)
    arfm("up", ARM, "--sim", "--policy", "bundle", "--task", "reach", "--episodes", 2,
         "--time-limit", 3, "--out", "episodes", "--json", "out.json", cwd=tmp_path)  # fmt: skip
    report = json.loads((tmp_path / "out.json").read_text())
    assert len(report["episodes"]) == 2
    names = load_robot(ARM).names
    for one in report["episodes"]:
        reader = EpisodeReader(Path(one["bag"]))
        assert reader.damage == []
        sent = [record for record in reader.records({"/arbiter/command"})]
        assert sent and reader.label()["success"] is one["success"]
    spec = json.loads((tmp_path / "bundle" / "policy.json").read_text())
    assert set(str(name) for name in names) >= {axis["name"] for axis in spec["spec"]["action"]}
