"""The nodes' executor, with real publishers and readers."""

import threading
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup  # noqa: E402
from rclpy.event_handler import SubscriptionEventCallbacks  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

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


def test_a_group_that_refuses_keeps_its_messages_for_whoever_takes_them(node):
    made, spinner = node

    class Drained(MutuallyExclusiveCallbackGroup):
        def can_execute(self, entity) -> bool:
            return False

    called: list[str] = []
    group = Drained()
    reader = made.create_subscription(
        String, "drained", lambda m: called.append(m.data), 10, callback_group=group
    )
    publisher, over, ticks = made.create_publisher(String, "drained", 10), Future(), [0]

    def tick() -> None:
        ticks[0] += 1
        publisher.publish(String(data="now"))
        if ticks[0] == 20:
            over.set_result(None)

    made.create_timer(0.02, tick)
    spinner.spin_until(over)
    assert called == []
    with reader.handle:
        assert reader.handle.take_message(String, False) is not None


def test_what_awaits_goes_on_and_messages_are_handled_meanwhile(node):
    made, spinner = node
    heard: list[str] = []
    answer, over = Future(executor=spinner), Future()

    async def ask(request, response):
        response.message = await answer
        return response

    made.create_service(Trigger, "ask", ask)
    client = made.create_client(Trigger, "ask")
    made.create_subscription(String, "word", lambda m: heard.append(m.data), 10)
    publisher = made.create_publisher(String, "word", 10)

    def tick() -> None:
        publisher.publish(String(data="now"))
        if len(heard) == 10 and not answer.done():
            answer.set_result("later")

    made.create_timer(0.02, tick)
    assert client.wait_for_service(10.0)
    asked = client.call_async(Trigger.Request())
    asked.add_done_callback(lambda _: over.set_result(None))
    spinner.spin_until(over)
    assert asked.result().message == "later" and len(heard) >= 10
    spinner.spin_once()
    assert not [task for task, _, _ in spinner._tasks if not task.done()]


def test_entities_come_and_go_from_another_thread_while_it_waits(node):
    made, spinner = node
    heard, over = [0], Future()
    publisher = made.create_publisher(String, "word", 10)

    def hear(_: String) -> None:
        heard[0] += 1

    def change() -> None:
        for _ in range(100):
            reader = made.create_subscription(String, "word", hear, 10)
            publisher.publish(String(data="now"))
            time.sleep(0.005)
            made.destroy_subscription(reader)
        over.set_result(None)

    thread = threading.Thread(target=change)
    thread.start()
    spinner.spin_until(over)
    thread.join()
    assert heard[0] > 10


def test_a_timeout_ends_the_wait_and_what_was_made_meanwhile_is_waited_for(node):
    made, spinner = node
    began = time.monotonic()
    spinner.spin_once(timeout_sec=0.0)
    spinner.spin_once(timeout_sec=0.2)
    assert time.monotonic() - began < 2.0
    fired = Future()
    made.create_timer(0.01, lambda: fired.done() or fired.set_result(None))
    spinner.spin_until(fired)


def test_an_error_of_a_callback_ends_the_spinning(node):
    made, spinner = node

    def bad() -> None:
        raise ValueError("bad callback")

    made.create_timer(0.01, bad)
    with pytest.raises(ValueError, match="bad callback"):
        spinner.spin_until(Future())


def test_readers_that_another_thread_destroys_do_not_end_the_executor(node):
    made, spinner = node
    events = SubscriptionEventCallbacks(incompatible_qos=lambda event: None)
    ended: list[BaseException] = []

    def spin() -> None:
        try:
            while not over.is_set():
                spinner.spin_once(0.01)
        except BaseException as error:  # noqa: BLE001 - the test tells of it
            ended.append(error)

    over = threading.Event()
    spinning = threading.Thread(target=spin)
    spinning.start()
    for _ in range(300):
        readers = [
            made.create_subscription(String, f"w{n}", lambda _: None, 1, event_callbacks=events)
            for n in range(3)
        ]
        spinner._events_due_ns = 0  # events are looked at each time
        for one in readers:
            made.destroy_subscription(one)
    over.set()
    spinning.join(timeout=10.0)
    assert not ended and not spinning.is_alive()


@pytest.mark.parametrize("when", ["waits", "is about to wait"])
def test_a_thread_that_spins_ends_quietly_when_the_context_does(node, when):
    made, spinner = node
    waiting, ended = threading.Event(), []
    begin = spinner._wait_set

    def gone(*parts):
        waiting.set()
        if when == "is about to wait":
            spinner._sets.clear()  # as if another reader had come: a new set is made
            made.context.shutdown()
        return begin(*parts)

    def spin() -> None:
        try:
            spinner.spin_to_shutdown()
        except BaseException as error:
            ended.append(error)
            raise

    spinner._wait_set = gone
    thread = threading.Thread(target=spin)
    thread.start()
    assert waiting.wait(5.0)
    made.context.try_shutdown()
    thread.join(timeout=5.0)
    assert not thread.is_alive() and not ended
