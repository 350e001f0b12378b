"""The shipped DDS profile: camera images between two processes, none lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arfm_ros.bringup import share
from arfm_ros.doctor.ros import segment_sizes

FRAMES = 60
PUBLISHER = f"""
import array, time
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
image = Image(height=480, width=640, step=1920, encoding="rgb8")
image.data = array.array("B", bytes(480 * 1920))
until = time.monotonic() + 20
while publisher.get_subscription_count() == 0 and time.monotonic() < until:
    time.sleep(0.02)
due = time.monotonic() + 0.3
for number in range({FRAMES}):
    time.sleep(max(0.0, due - time.monotonic()))
    due += 1 / 60
    image.header.frame_id = str(number)
    publisher.publish(image)
time.sleep(1.0)
node.destroy_node()
rclpy.try_shutdown()
"""


def frames_received(profile: Path | None) -> int:
    """Count how many of the frames of another process arrive here, best effort."""
    rclpy = pytest.importorskip("rclpy")
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    env = {k: v for k, v in os.environ.items() if k not in names}
    env |= {} if profile is None else dict.fromkeys(names, str(profile))
    received: set[str] = set()
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("ear", context=context)
    qos = QoSProfile(depth=FRAMES, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Image, "image_raw", lambda m: received.add(m.header.frame_id), qos)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    process = subprocess.Popen([sys.executable, "-c", PUBLISHER], env=env)
    until = time.monotonic() + 30
    try:
        while process.poll() is None and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.05)
    finally:
        process.kill()
        process.wait()
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    return len(received)


def test_every_vga_frame_at_60_hz_arrives_in_another_process(ros_domain: int) -> None:
    assert frames_received(share("config", "fastdds.xml")) == FRAMES


def test_the_profile_has_a_segment_that_holds_a_second_of_images() -> None:
    assert segment_sizes(share("config", "fastdds.xml")) == [64 * 2**20]


def test_a_killed_process_is_forgotten_and_a_living_one_is_not(ros_domain: int) -> None:
    pytest.importorskip("rclpy")
    from arfm_ros.up.discovery import measure

    costs = measure(seconds=4.0, loops=2, peers=3)
    assert costs.false_losses == 0
    assert costs.ghost_s <= 3.0


@pytest.mark.slow
def test_no_living_process_is_lost_in_minutes_on_a_busy_machine(ros_domain: int) -> None:
    pytest.importorskip("rclpy")
    from arfm_ros.up.discovery import busy_loops, measure

    assert measure(seconds=180.0, loops=2 * busy_loops()).false_losses == 0
