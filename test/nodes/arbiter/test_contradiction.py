"""Two who publish the same joints: the arm holds, and both are named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from std_srvs.srv import SetBool  # noqa: E402
from test_foreign_inputs import Listener  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402

JOINTS = [f"joint_a{n}" for n in range(1, 8)]
DRIVER = """
import sys, time, rclpy
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node(sys.argv[1])
out = node.create_publisher(JointState, "joint_states", 10)
message = JointState(name=sys.argv[3].split(","))
message.position = [float(sys.argv[2])] * len(message.name)
while rclpy.ok():
    message.header.stamp = node.get_clock().now().to_msg()
    out.publish(message)
    time.sleep(0.01)
"""


@pytest.fixture
def drivers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def drive(name: str, position: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DRIVER, name, str(position), ",".join(JOINTS)]
    return subprocess.Popen(command, env=dict(os.environ))


def test_a_second_driver_that_sends_zeros_stops_the_arm_and_both_are_named(
    ros_domain: int, drivers: list[subprocess.Popen[bytes]]
) -> None:
    listener = Listener(ros_domain)
    try:
        drivers.append(drive("real_driver", 0.6))
        listener.start("arbiter_node", "-p", "robot:=iiwa14")
        engage = topics.client(listener.node, topics.ARBITER_ENGAGE)
        listener.until(lambda: listener.ask(engage, SetBool.Request(data=True)).success)
        drivers.append(drive("zeros", 0.0))
        listener.hears("arbiter", "jumped", "/real_driver", "/zeros", level=2)
    finally:
        listener.close()
