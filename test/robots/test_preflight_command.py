"""`arfm robot check NAME --running` beside a driver of other people."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import time, rclpy
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node("driver")
out = node.create_publisher(JointState, "joint_states", 10)
other = node.create_publisher(JointState, "target_joint", 10)
message = JointState(name=[f"joint_a{n}" for n in range(7, 0, -1)], position=[0.5] * 7)
while rclpy.ok():
    message.header.stamp.sec = int(time.time()) - 100
    out.publish(message)
    time.sleep(0.02)
"""


def check(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arfm_ros.cli", "robot", "check", *words]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def test_every_thing_that_would_keep_the_arm_from_moving_is_named(ros_domain: int) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], env=dict(os.environ))
    try:
        run = check("iiwa14", "--running", "--wait", "4")
    finally:
        driver.kill()
        driver.wait()
    said = run.stdout
    assert run.returncode == 1, run.stderr
    assert "/target_joint has another publisher: /driver" in said
    assert "nobody subscribes to /target_joint" in said
    assert "reads targets by index" in said  # the order of its joints is another
    assert any("FAIL" in line and "stamp" in line for line in said.splitlines())


def test_without_a_robot_it_says_what_it_looked_for(ros_domain: int) -> None:
    run = check("iiwa14", "--running", "--wait", "1")
    assert run.returncode == 1
    assert "nobody who publishes any: is the robot running" in run.stderr
