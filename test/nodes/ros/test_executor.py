"""The nodes' executor, with real publishers and readers."""

import time

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.event_handler import SubscriptionEventCallbacks  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from arfm_ros.nodes.ros.executor import Spinner  # noqa: E402

DOMAIN = 187


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    made = rclpy.create_node("executor_test", context=context)
    spinner = Spinner(context=context)
    spinner.add_node(made)
    yield made, spinner
    spinner.shutdown(timeout_sec=1.0)
    made.destroy_node()
    context.try_shutdown()


def test_messages_and_timers_are_handled_as_they_come(node):
    made, spinner = node
    heard: list[float] = []
    made.create_subscription(String, "word", lambda _: heard.append(time.monotonic()), 10)
    publisher = made.create_publisher(String, "word", 10)
    over = Future()

    def tick() -> None:
        publisher.publish(String(data="now"))
        if len(heard) > 20:
            over.set_result(None)

    made.create_timer(0.01, tick)
    spinner.spin_until(over)
    assert len(heard) > 20


def test_an_incompatible_offer_is_still_told_within_a_second(node):
    made, spinner = node
    told = Future()
    wants = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    events = SubscriptionEventCallbacks(incompatible_qos=told.set_result)
    made.create_subscription(String, "word", lambda _: None, wants, event_callbacks=events)
    made.create_timer(0.1, lambda: None)
    for _ in range(5):
        spinner.spin_once()
    began = time.monotonic()
    made.create_publisher(String, "word", 1)
    spinner.spin_until(told)
    assert time.monotonic() - began < 1.0


def test_spinning_leaves_nothing_behind_in_the_future(node):
    made, spinner = node
    over, ticks = Future(), [0]

    def tick() -> None:
        ticks[0] += 1
        if ticks[0] == 30:
            assert len(over._callbacks) == 1
            over.set_result(None)

    made.create_timer(0.005, tick)
    spinner.spin_until(over)
    assert ticks[0] == 30
