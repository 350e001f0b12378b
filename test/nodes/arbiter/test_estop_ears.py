"""The e-stop is heard by the tick: whatever the executor is busy with."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

from arfm_ros.nodes.arbiter_node import ArbiterNode

PROFILES = {
    "rclpy's default": QoSProfile(depth=10),
    "best effort": QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
    "latched": QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
}


@pytest.fixture
def arbiter(ros_domain: int) -> Iterator[ArbiterNode]:
    """An arbiter whose executor never comes to anything: nobody spins it."""
    rclpy.init(domain_id=ros_domain)
    node = ArbiterNode()
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        rclpy.shutdown()


def within(seconds: float, condition) -> bool:
    until_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.002)
    return condition()


@pytest.mark.parametrize("name", PROFILES)
def test_it_is_heard_while_the_executor_handles_nothing(
    arbiter: ArbiterNode, ros_domain: int, name: str
) -> None:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    button = rclpy.create_node("button", context=context)
    publisher = button.create_publisher(Bool, "estop", PROFILES[name])
    try:
        assert within(20.0, lambda: publisher.get_subscription_count() >= 1)
        estop = arbiter._arbiter.estop
        for _ in range(3):
            publisher.publish(Bool(data=True))
            assert within(1.0, lambda: estop.latched)
            publisher.publish(Bool(data=False))
            assert within(1.0, lambda: "released" in estop.reason)
            estop.reset(time.monotonic_ns())
            assert not estop.latched
    finally:
        rclpy.shutdown(context=context)
        button.destroy_node()
