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
    Bench,
    Expected,
    Kind,
    ends_chunk,
    stops,
)
from arfm_ros.faults.judging.record import INTRUDER
from arfm_ros.nodes.ros import topics

FLOOD_HZ, FOUND_S, HEARTBEAT_S, BEAT_S = 200.0, 3.0, 0.5, 0.1
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
    bench: Bench, row: topics.Topic, qos: QoSProfile | int = 10
) -> Generator[Any, None, None]:
    """Give a publisher of foreign defaults beside those that there are."""
    node = bench.operator.node
    publisher = node.create_publisher(topics.interface(row.type_name), row.name, qos)
    try:
        yield publisher
    finally:
        node.destroy_publisher(publisher)


@contextmanager
def second_commander(bench: Bench) -> Generator[float, None, None]:
    """Command the arm beside the arbiter."""
    message = topics.interface(topics.TARGET_JOINT.type_name)()
    message.header.frame_id = INTRUDER
    message.position = array("d", bench.operator.position)
    message.velocity = array("d", [0.0] * 7)
    with speaker(bench, topics.TARGET_JOINT) as publisher:
        bench.operator.wait(lambda: publisher.get_subscription_count() >= 2, FOUND_S)
        begin_s = time.monotonic()
        with repeating(100.0, lambda: publisher.publish(message)):
            yield begin_s


@contextmanager
def second_policy(bench: Bench) -> Generator[float, None, None]:
    """Send the policy's own chunks a second time, from another node."""
    row = STREAMS["chunk"].row
    with speaker(bench, row) as publisher:
        bench.operator.wait(lambda: publisher.get_subscription_count() >= 2, FOUND_S)
        begin_s = time.monotonic()

        def copy() -> None:
            if bench.operator.chunk is not None:
                publisher.publish(bench.operator.chunk)

        with repeating(10.0, copy):
            yield begin_s


@contextmanager
def second_robot(bench: Bench) -> Generator[float, None, None]:
    """Publish joint states of an arm that stands still, beside the true ones."""
    kind = topics.interface(topics.JOINT_STATES.type_name)
    names = bench.operator.names
    position = array("d", bench.operator.position)
    with speaker(bench, topics.JOINT_STATES) as publisher:
        begin_s = time.monotonic()

        def tell() -> None:
            message = kind(name=names, position=position)
            message.header.stamp = bench.operator.node.get_clock().now().to_msg()
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
def estop_volatile(bench: Bench) -> Generator[float, None, None]:
    """Press an e-stop that publishes with rclpy's defaults."""
    with speaker(bench, topics.ESTOP) as publisher:
        # the witness has two readers and the arbiter three
        bench.operator.wait(lambda: publisher.get_subscription_count() >= 3, FOUND_S)
        with press(publisher) as at_s:
            yield at_s


@contextmanager
def estop_latched(bench: Bench) -> Generator[float, None, None]:
    """Press an e-stop that nobody has discovered yet, and which keeps its last value."""
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with speaker(bench, topics.ESTOP, qos) as publisher:
        with press(publisher) as at_s:
            yield at_s


@contextmanager
def estop_flapping(bench: Bench) -> Generator[float, None, None]:
    """Press and release twenty times a second."""
    pressed = [False]

    def flap() -> None:
        pressed[0] = not pressed[0]
        publisher.publish(Bool(data=pressed[0]))

    with speaker(bench, topics.ESTOP) as publisher:
        bench.operator.wait(lambda: publisher.get_subscription_count() >= 3, FOUND_S)
        begin_s = time.monotonic()
        with repeating(20.0, flap):
            yield begin_s
        publisher.publish(Bool(data=False))
        publisher.wait_for_all_acked()


@contextmanager
def heartbeat_lost(bench: Bench) -> Generator[float, None, None]:
    """Let the e-stop's device fall silent."""
    bench.operator.beat(False)
    try:
        yield time.monotonic()
    finally:
        bench.operator.beat(True)


def flood(row: topics.Service, request: Any) -> Any:
    """Return the injection of a service called 200 times a second."""

    @contextmanager
    def inject(bench: Bench) -> Generator[float, None, None]:
        client = bench.operator.clients[row]
        with repeating(FLOOD_HZ, lambda: client.call_async(request)):
            yield time.monotonic()

    return inject


@contextmanager
def instruction_flood(bench: Bench) -> Generator[float, None, None]:
    """Change the instruction 200 times a second."""
    words = ("reach the red cube", "lift the red cube", "")

    def say() -> None:
        bench.operator.instruct(words[bench.rng.randrange(len(words))])

    with repeating(FLOOD_HZ, say):
        yield time.monotonic()
    bench.operator.instruct(bench.operator.instruction)


def kinds() -> Iterable[Kind]:
    """Return all kinds of this family."""
    pressed = stops(0.0, "e-stop", latched=True)
    intruder = stops(DISCOVERY_S, "has another publisher", latched=True)
    yield Kind("second commander", second_commander, intruder)
    yield Kind("second policy", second_policy, ends_chunk(0.0, "has 2 publishers"), 1.7)
    yield Kind("second robot", second_robot, SAFE)
    yield Kind("e-stop volatile", estop_volatile, pressed)
    yield Kind("e-stop latched", estop_latched, pressed)
    yield Kind("e-stop flapping", estop_flapping, pressed)
    lost = stops(HEARTBEAT_S + BEAT_S, "heartbeat", latched=True)
    yield Kind("e-stop heartbeat lost", heartbeat_lost, lost, 1.3, variant="heartbeat")
    yield Kind("engage flood", flood(topics.ARBITER_ENGAGE, SetBool.Request(data=True)), SAFE)
    yield Kind("reset flood", flood(topics.ARBITER_RESET, Trigger.Request()), SAFE)
    yield Kind("instruction flood", instruction_flood, Expected())
