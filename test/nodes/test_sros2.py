"""SROS2: the shipped policy names everything, and a node without an enclave stays outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from arfm_ros.bringup import share
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.topics import Service, Topic

CAMERAS = ("scene", "wrist")
TALK = """
import rclpy, sys, time
from std_msgs.msg import String
rclpy.init(args=sys.argv)
node = rclpy.create_node("rollout_node")
out = node.create_publisher(String, "instruction", 10)
for _ in range(100):
    out.publish(String(data="lift"))
    time.sleep(0.1)
"""
LISTEN = """
import rclpy, sys, time
from std_msgs.msg import String
rclpy.init(args=sys.argv)
node, heard = rclpy.create_node("policy_node"), []
node.create_subscription(String, "instruction", heard.append, 10)
end = time.monotonic() + 8.0
while time.monotonic() < end and not heard:
    rclpy.spin_once(node, timeout_sec=0.1)
print("heard" if heard else "silence")
"""


def policy() -> Path:
    return share("config", "sros2", "policy.xml")


def allowed(kind: str, how: str) -> set[str]:
    """Give the names that the enclaves of the shipped policy allow."""
    root = ElementTree.parse(policy()).getroot()
    return {
        str(one.text).replace("~", str(profile.get("node")))
        for profile in root.iter("profile")
        for rows in profile.iter(f"{kind}s")
        if rows.get(how) == "ALLOW"
        for one in rows.iter(kind)
    }


def names() -> set[str]:
    rows = [row for row in vars(topics).values() if isinstance(row, Topic)]
    return {row.of(camera=camera).name for row in rows for camera in CAMERAS}


def test_every_topic_of_the_stack_is_allowed_to_somebody_on_both_ends() -> None:
    """A new topic belongs into config/sros2/policy.xml, or a secured stack is deaf to it."""
    assert names() - allowed("topic", "publish") == set()
    assert names() - allowed("topic", "subscribe") == set()


def test_every_service_of_the_stack_is_allowed_to_somebody_on_both_ends() -> None:
    rows = {row.name for row in vars(topics).values() if isinstance(row, Service)}
    assert rows - allowed("service", "reply") == set()
    assert rows - allowed("service", "request") == set()


def secured(keystore: Path, enclave: str = "") -> dict[str, str]:
    given = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    given |= {"ROS_SECURITY_KEYSTORE": str(keystore)}
    if enclave:
        given["ROS_SECURITY_ENCLAVE_OVERRIDE"] = enclave
    return {**os.environ, **given}


def run(code: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code], env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("node", ["policy_node", "arbiter_node", "recorder_node", "sim_node"])
def test_a_node_without_an_enclave_does_not_start_where_security_is_enforced(
    node: str, tmp_path: Path, ros_domain: int
) -> None:
    done = run(["-m", f"arfm_ros.nodes.{node}"], secured(tmp_path))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: ROS does not start" in done.stderr and "SECURITY ERROR" in done.stderr


def test_where_the_plugin_is_missing_an_enclave_does_not_start_either_and_says_so(
    tmp_path: Path, ros_domain: int
) -> None:
    (tmp_path / "enclaves" / "arfm").mkdir(parents=True)  # without keys: refused in any case
    done = run(["-m", "arfm_ros.nodes.policy_node"], secured(tmp_path, "/arfm"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "does not start" in done.stderr


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    """Make a keystore of the shipped policy, as docs/security.md says."""
    if shutil.which("ros2") is None:
        pytest.skip("no `ros2 security` here: the keys cannot be made")
    folder = tmp_path / "keystore"
    for words in (
        ["create_keystore", str(folder)],
        ["generate_artifacts", "-k", str(folder), "-p", str(policy())],
    ):
        done = subprocess.run(
            ["ros2", "security", *words], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"ros2 security {words[0]} failed: {done.stderr[-200:]}")
    return folder


def test_a_node_without_an_enclave_is_not_heard_by_those_that_have_one(
    keystore: Path, ros_domain: int
) -> None:
    inside = secured(keystore, "/arfm")
    probe = run(["-c", "import rclpy; rclpy.init(); rclpy.create_node('policy_node')"], inside)
    if "security libraries" in probe.stderr:
        pytest.skip("this Fast DDS was built without its security plugin")
    for talker, says in ((inside, "heard"), (dict(os.environ), "silence")):
        talking = subprocess.Popen([sys.executable, "-c", TALK], env=talker)
        try:
            assert says in run(["-c", LISTEN], inside).stdout
        finally:
            talking.kill()
            talking.wait()
