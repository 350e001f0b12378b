"""Faults of who speaks: second publishers, e-stops of every kind, floods of requests."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from arfm_ros.faults.inject.wiring import STREAMS
from arfm_ros.faults.judging.expected import (
    SAFE,
    Expected,
    Ground,
    Kind,
    ends_chunk,
    stops,
)
from arfm_ros.faults.judging.record import INTRUDER
from arfm_ros.nodes.ros import topics

FLOOD_HZ, FOUND_S, HEARTBEAT_S, BEAT_S = 200.0, 3.0, 0.5, 0.1
FINDS_S = 0.1  # by how much the arbiter may find a new publisher later than the witness does
DISCOVERY_S = 0.1 + 0.1  # the arbiter looks at who publishes ten times a second


@contextmanager
def repeating(hertz: float, what: Callable[[], None]) -> Generator[None, None, None]:
    """Call `what` at a rate on a thread of its own."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(1.0 / hertz):
            what()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def speaker(
    ground: Ground, row: topics.Topic, qos: QoSProfile | int = 10
) -> Generator[Any, None, None]:
    """Give a publisher of foreign defaults beside those that there are."""
    node = ground.operator.node
    publisher = node.create_publisher(topics.interface(row.type_name), row.name, qos)
    try:
        yield publisher
    finally:
        node.destroy_publisher(publisher)


@contextmanager
def second_commander(ground: Ground) -> Generator[float, None, None]:
    """Command the arm beside the arbiter."""
    message = topics.interface(topics.TARGET_JOINT.type_name)()
    message.header.frame_id = INTRUDER
    message.position = array("d", ground.operator.position)
    message.velocity = array("d", [0.0] * 7)
    with speaker(ground, topics.TARGET_JOINT) as publisher:
        ground.operator.wait(lambda: publisher.get_subscription_count() >= 2, FOUND_S)
        begin_s = time.monotonic()
        with repeating(100.0, lambda: publisher.publish(message)):
            yield begin_s


@contextmanager
def second_policy(ground: Ground) -> Generator[float, None, None]:
    """Send the policy's own chunks a second time, from another node."""
    row = STREAMS["chunk"].row
    with speaker(ground, row) as publisher:
        ground.operator.wait(lambda: publisher.get_subscription_count() >= 2, FOUND_S)
        begin_s = time.monotonic()

        def copy() -> None:
            if ground.operator.chunk is not None:
                publisher.publish(ground.operator.chunk)

        with repeating(10.0, copy):
            yield begin_s


@contextmanager
def second_robot(ground: Ground) -> Generator[float, None, None]:
    """Publish joint states of an arm that stands still, beside the true ones."""
    kind = topics.interface(topics.JOINT_STATES.type_name)
    names = ground.operator.names
    position = array("d", ground.operator.position)
    with speaker(ground, topics.JOINT_STATES) as publisher:
        begin_s = time.monotonic()

        def tell() -> None:
            message = kind(name=names, position=position)
            message.header.stamp = ground.operator.node.get_clock().now().to_msg()
            publisher.publish(message)

        with repeating(100.0, tell):
            yield begin_s


@contextmanager
def press(publisher: Any) -> Generator[float, None, None]:
    """Press an e-stop and release it; give the steady time of the press."""
    publisher.publish(Bool(data=True))
    try:
        yield time.monotonic()
    finally:
        publisher.publish(Bool(data=False))
        publisher.wait_for_all_acked()


@contextmanager
def estop_volatile(ground: Ground) -> Generator[float, None, None]:
    """Press an e-stop that publishes with rclpy's defaults."""
    with speaker(ground, topics.ESTOP) as publisher:
        # the witness has two readers and the arbiter three
        ground.operator.wait(lambda: publisher.get_subscription_count() >= 3, FOUND_S)
        with press(publisher) as at_s:
            yield at_s


@contextmanager
def estop_latched(ground: Ground) -> Generator[float, None, None]:
    """Press an e-stop that nobody has discovered yet, and which keeps its last value."""
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with speaker(ground, topics.ESTOP, qos) as publisher:
        with press(publisher) as at_s:
            yield at_s


@contextmanager
def estop_flapping(ground: Ground) -> Generator[float, None, None]:
    """Press and release twenty times a second."""
    pressed = [False]

    def flap() -> None:
        pressed[0] = not pressed[0]
        publisher.publish(Bool(data=pressed[0]))

    with speaker(ground, topics.ESTOP) as publisher:
        ground.operator.wait(lambda: publisher.get_subscription_count() >= 3, FOUND_S)
        begin_s = time.monotonic()
        with repeating(20.0, flap):
            yield begin_s
        publisher.publish(Bool(data=False))
        publisher.wait_for_all_acked()


@contextmanager
def heartbeat_lost(ground: Ground) -> Generator[float, None, None]:
    """Let the e-stop's device fall silent."""
    ground.operator.beat(False)
    try:
        yield time.monotonic()
    finally:
        ground.operator.beat(True)


def flood(row: topics.Service, request: Any) -> Any:
    """Return the injection of a service called 200 times a second."""

    @contextmanager
    def inject(ground: Ground) -> Generator[float, None, None]:
        client = ground.operator.clients[row]
        with repeating(FLOOD_HZ, lambda: client.call_async(request)):
            yield time.monotonic()

    return inject


@contextmanager
def instruction_flood(ground: Ground) -> Generator[float, None, None]:
    """Change the instruction 200 times a second."""
    words = ("reach the red cube", "lift the red cube", "")

    def say() -> None:
        ground.operator.instruct(words[ground.rng.randrange(len(words))])

    with repeating(FLOOD_HZ, say):
        yield time.monotonic()
    ground.operator.instruct(ground.operator.instruction)


def kinds() -> Iterable[Kind]:
    """Return all kinds of this family."""
    pressed = stops(0.0, "e-stop", latched=True)
    intruder = stops(DISCOVERY_S, "has another publisher", latched=True)
    yield Kind("second commander", second_commander, intruder)
    yield Kind("second policy", second_policy, ends_chunk(0.0, "has 2 publishers"), 1.7)
    yield Kind("second robot", second_robot, SAFE)
    yield Kind("e-stop volatile", estop_volatile, pressed)
    found = stops(FINDS_S, "e-stop", latched=True)
    yield Kind("e-stop latched", estop_latched, found)
    yield Kind("e-stop flapping", estop_flapping, pressed)
    lost = stops(HEARTBEAT_S + BEAT_S, "heartbeat", latched=True)
    yield Kind("e-stop heartbeat lost", heartbeat_lost, lost, 1.3, variant="heartbeat")
    yield Kind("engage flood", flood(topics.ARBITER_ENGAGE, SetBool.Request(data=True)), SAFE)
    yield Kind("reset flood", flood(topics.ARBITER_RESET, Trigger.Request()), SAFE)
    yield Kind("instruction flood", instruction_flood, Expected())
