"""Every input hears every publisher, whatever it offers; and names those whom it cannot hear."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy")

from client_rig import Client  # noqa: E402
from foreign_rig import Foreigners  # noqa: E402

from arfm_ros.nodes.ros import topics  # noqa: E402
from arfm_ros.nodes.ros.diagnostics import Diagnostics, Health  # noqa: E402
from arfm_ros.nodes.ros.hearing import REMEMBERED, Once, lost_publishers  # noqa: E402
from arfm_ros.nodes.ros.topics import Topic  # noqa: E402

ROWS = [row for row in vars(topics).values() if isinstance(row, Topic)]
OFFERS = list(itertools.product(("RELIABLE", "BEST_EFFORT"), ("VOLATILE", "TRANSIENT_LOCAL")))


def variants(when: str) -> Iterator[tuple[Topic, str]]:
    """Give every row under a name of its own for every offer, and the publisher's words."""
    for row, (reliability, durability) in itertools.product(ROWS, OFFERS):
        plain = row.of("scene").name.strip("/")
        name = f"{plain}/{reliability}/{durability}/{when}".lower()
        yield row.at(name), f"{name}={row.type_name}={reliability}={durability}"


@pytest.fixture
def foreigners() -> Iterator[Foreigners]:
    made = Foreigners()
    yield made
    made.close()


@pytest.fixture
def client(ros_domain: int) -> Iterator[Client]:
    made = Client(ros_domain)
    yield made
    made.close()


def test_every_input_hears_every_offer_of_earlier_and_later_publishers(
    client: Client, foreigners: Foreigners
) -> None:
    early, late = list(variants("early")), list(variants("late"))
    foreigners.publish(10, *(words for _, words in early))
    heard: Counter[str] = Counter()
    for row, _ in early + late:
        note: Any = lambda message, name=row.name: heard.update([name])  # noqa: E731
        topics.subscription(client.node, row, note, raw=True)
    foreigners.publish(10, *(words for _, words in late))
    names = {row.name for row, _ in early + late}
    assert len(names) == 2 * len(ROWS) * len(OFFERS)
    client.last_words = lambda: f"not heard: {sorted(names - set(heard))}"  # type: ignore[method-assign]
    client.until(lambda: names <= set(heard), timeout_s=60.0)


@pytest.mark.parametrize("row", [row for row in ROWS if row.reader.latched], ids=lambda r: r.name)
def test_a_latched_value_from_before_the_reader_arrives_once(
    row: Topic, client: Client, foreigners: Foreigners
) -> None:
    foreigners.publish(0, f"{row.name}={row.type_name}=RELIABLE=TRANSIENT_LOCAL")
    heard: list[Any] = []
    topics.subscription(client.node, row, heard.append)
    client.until(lambda: heard)
    foreigners.publish(5, f"{row.name}={row.type_name}=RELIABLE=VOLATILE")
    client.until(lambda: len(heard) > 5)
    said = [getattr(message, "data", None) for message in heard]  # not all types have one
    texts = [text for text in said if isinstance(text, str)]
    assert sorted(Counter(texts).values(), reverse=True)[:2] in ([], [2, 1], [1, 1])


def test_no_message_is_delivered_twice_though_several_readers_got_it(
    client: Client, foreigners: Foreigners
) -> None:
    row = topics.INSTRUCTION
    heard: list[str] = []
    readers = topics.subscription(client.node, row, lambda message: heard.append(message.data))
    foreigners.publish(50, f"instruction={row.type_name}=RELIABLE=TRANSIENT_LOCAL")
    client.until(lambda: len(heard) > 50)
    assert readers.get_publisher_count() == 1
    assert len(heard) == len(set(heard))
    numbers = [int(text.split()[1]) for text in heard]
    assert numbers == sorted(numbers)


def test_a_weak_publisher_of_a_fast_topic_costs_the_strong_ones_no_message(
    client: Client, foreigners: Foreigners
) -> None:
    row = topics.EPISODE_LABEL
    heard: list[str] = []
    topics.subscription(client.node, row, lambda message: heard.append(message.data))
    foreigners.publish(10, f"{row.name}={row.type_name}=RELIABLE=VOLATILE")
    client.until(lambda: len(heard) > 5)
    foreigners.publish(10, f"{row.name}={row.type_name}=BEST_EFFORT=VOLATILE")
    client.until(lambda: max(Counter(heard).values()) > 1)  # both number from 0
    begun = len(heard)
    client.until(lambda: len(heard) > begun + 40)
    numbers = [int(text.split()[1]) for text in heard]
    assert max(Counter(numbers).values()) == 2
    assert set(range(numbers[0], max(numbers) - 5)) <= set(numbers)


def test_a_copy_is_recognised_among_all_that_the_readers_keep() -> None:
    once = Once()
    assert [once.is_new(1, 1), once.is_new(1, 1), once.is_new(1, 2)] == [True, False, True]
    assert all(once.is_new(2, number) for number in range(REMEMBERED))
    assert not any(once.is_new(2, number) for number in range(REMEMBERED))


def test_a_publisher_that_cannot_be_heard_is_an_error_with_its_name_and_policy(
    client: Client, foreigners: Foreigners
) -> None:
    strict = topics.Qos(reliable=True, latched=True)
    topics.subscription(client.node, topics.ESTOP, lambda message: None, strict)
    topics.subscription(client.node, topics.INSTRUCTION, lambda message: None)
    said: dict[str, bytes] = {}

    def note(message: Any) -> None:
        said.update({one.message: one.level for one in message.status})

    diagnostics = Diagnostics(client.node, Health)
    listener = rclpy.create_node("listener", context=client.context)
    topics.subscription(listener, topics.DIAGNOSTICS, note)
    client.executor.add_node(listener)
    client.until(lambda: said)
    assert list(said.items()) == [("ok", b"\x00")]
    foreigners.publish(0, "estop=std_msgs/msg/Bool=RELIABLE=VOLATILE")
    client.until(lambda: any("/estop: /foreigner" in text for text in said))
    foreigners.publish(0, "instruction=std_msgs/msg/Bool=RELIABLE=VOLATILE")
    client.until(lambda: any("/instruction: /foreigner" in text for text in said))
    (text, level) = list(said.items())[-1]
    assert level == b"\x02"
    assert "volatile" in text.lower() and "needs std_msgs/msg/String" in text
    assert lost_publishers(client.node) and diagnostics is not None
    listener.destroy_node()
