"""The real console, arbiter and simulation; the pages are a foreign WebSocket client's."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("aiohttp")
pytest.importorskip("websockets")

from console_rig import Client, Stack  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from arfm_ros.up.domain import reserve_domain  # noqa: E402

pytestmark = pytest.mark.robot
# real presses end after 80 ms of this process' silence: on a machine that is full it takes minutes
slow = pytest.mark.slow
MS = 1_000_000
RELEASE_MS = 80 + 170  # the silence, and a machine that is busy between a look and a message


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    patch, (domain, reservation) = pytest.MonkeyPatch(), reserve_domain()
    patch.setenv("ROS_DOMAIN_ID", str(domain))
    made = Stack(tmp_path_factory.mktemp("console"))
    yield made
    made.close()
    patch.undo()
    if reservation is not None:
        reservation.close()


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    made = Client(stack)
    yield made
    made.close()
    stack.until(lambda: not stack.engaged or not stack.engaged[-1][1])


def assert_lets_go(stack: Stack, since_ns: int) -> None:
    """The deadman is released, and was not said to be held for longer than is promised."""
    released_ns = stack.first(stack.engaged, since_ns, lambda on: not on)
    held = [(at - since_ns) / MS for at, on in stack.engaged if on and since_ns < at < released_ns]
    assert max(held, default=0.0) < RELEASE_MS


def hold(stack: Stack, client: Client, press: int, seconds: float = 90.0) -> int:
    """Hold until the arm follows; return the press that does.

    On a busy machine this process may be silent for too long: then it has to press anew.
    """
    begin_s = pressed_s = time.monotonic()
    rest = stack.positions[-1][1]
    while abs(stack.positions[-1][1] - rest).max() < 0.01:
        now_s = time.monotonic()
        assert now_s < begin_s + seconds, (stack.authority[-1], client.heard[-1])
        if now_s - pressed_s > 0.5 and not stack.engaged[-1][1]:
            press, pressed_s = press + 1, now_s
        client.drive(press)
        time.sleep(0.02)
    return press


def test_a_page_is_told_the_robot_and_its_state(client: Client) -> None:
    hello = client.answer("", "hello")
    assert hello["robot"] == "fr3" and hello["drives"] and len(hello["groups"]) == 2
    state = client.state(  # each node tells of itself once a second
        lambda m: (
            m["arms"] and m["owners"] and "arbiter_node" in [one["name"] for one in m["nodes"]]
        )
    )
    assert len(state["positions"]) == 8 and state["authority"] == "idle"
    assert [one["group"] for one in state["owners"]] == ["arm", "gripper"]


@slow
def test_who_watches_commands_nothing_but_the_e_stop(stack: Stack, client: Client) -> None:
    for what in ("engage", "reset", "instruction", "drive"):
        client.send(do=what, text="x", held=True)
        assert "take the controls" in client.answer(what)["text"]
    assert client.take()
    client.engage()
    other = Client(stack)
    other.send(do="take")
    assert "holds the controls" in other.answer("take")["text"]
    begin_ns = time.monotonic_ns()
    other.send(do="estop")
    assert other.answer("estop")["ok"]
    assert stack.first(stack.authority, begin_ns, lambda a: a == "estop")
    other.close()


@slow
def test_driving_moves_the_arm_and_silence_lets_go_for_good(stack: Stack, client: Client) -> None:
    client.take()
    client.engage()
    press = hold(stack, client, 1)
    assert "human" in [who for _, who in stack.authority]
    silent_ns = time.monotonic_ns()
    assert_lets_go(stack, silent_ns)
    for _ in range(20):  # the finger is still down
        client.drive(press)
        time.sleep(0.03)
    assert not any(on for at, on in stack.engaged if at > silent_ns + RELEASE_MS * MS)
    hold(stack, client, press + 1)


@slow
def test_a_lost_connection_lets_go_and_coming_back_does_not_drive(stack: Stack) -> None:
    client = Client(stack)
    client.take()
    client.engage()
    hold(stack, client, 1)
    lost_ns = time.monotonic_ns()
    client.socket.socket.shutdown(socket.SHUT_RDWR)
    assert_lets_go(stack, lost_ns)
    again = Client(stack)
    for _ in range(10):
        again.drive(99)
        time.sleep(0.03)
    assert not stack.engaged[-1][1]
    assert "take the controls" in again.answer("drive")["text"]
    again.close()


@slow
def test_messages_held_up_on_their_way_do_not_drive(stack: Stack, client: Client) -> None:
    client.take()
    client.engage()
    for _ in range(5):
        client.drive(0, held=False)
        time.sleep(0.03)
    begin_ns = time.monotonic_ns()
    old = (time.monotonic() - client._began_s - 0.5) * 1000
    for _ in range(10):
        client.drive(1, at=old)
        time.sleep(0.03)
    assert not any(on for at, on in stack.engaged if at > begin_ns)


@slow
def test_what_is_no_message_is_refused_in_words(client: Client) -> None:
    for text in ("no", '{"do": "drive", "at": NaN}', "[]"):
        client.socket.send(text)
        assert client.answer("", "refused")["why"]
    client.take()
    client.send(do="fly")
    assert "nothing is called 'fly'" in client.answer("", "refused")["why"]
    client.drive(1, values={"x": 1e999})
    assert "finite" in client.answer("", "refused")["why"]


@slow
def test_words_and_instructions_of_any_script_arrive(stack: Stack, client: Client) -> None:
    client.take()
    text = "hebe den Würfel \U0001f9ca ein Stück an"
    client.send(do="instruction", text=text)
    stack.until(lambda: text in stack.said)
    client.send(do="instruction", text="x" * 10_000)
    assert "takes 2000" in client.answer("", "refused")["why"]


@slow
def test_an_oversized_message_ends_the_connection_only(stack: Stack, client: Client) -> None:
    big = Client(stack)
    big.socket.send('{"do": "' + "x" * 100_000 + '"}')
    stack.until(lambda: big.close_code)
    assert big.close_code in {1006, 1009}  # the reason may be lost with what nobody read any more
    big.close()
    client.state()


@slow
def test_a_flood_ends_the_connection_and_its_drive(stack: Stack) -> None:
    client = Client(stack)
    client.take()
    client.engage()
    count = 0
    with pytest.raises(ConnectionClosed):
        while count < 20_000:
            client.drive(1)
            count += 1
            time.sleep(0.0005)
    stack.until(lambda: client.close_code == 1008 and not stack.engaged[-1][1])


@slow
def test_a_page_that_stalls_costs_others_nothing(stack: Stack, client: Client) -> None:
    raw = socket.create_connection(("127.0.0.1", stack.port))
    raw.sendall(
        b"GET /control HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    time.sleep(1.0)  # it never reads
    count = len([m for m in client.heard if m["is"] == "state"])
    stack.until(lambda: len([m for m in client.heard if m["is"] == "state"]) > count + 5)
    raw.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 403), ({"Origin": "http://evil.example"}, 403)],
)
def test_pages_from_elsewhere_are_kept_out(stack: Stack, headers: dict, status: int) -> None:
    request = urllib.request.Request(stack.url, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as found:
        urllib.request.urlopen(request, timeout=30)
    assert found.value.code == status
    if "Origin" in headers:
        with pytest.raises(InvalidStatus):
            Client(stack, headers)


def test_files_outside_of_the_page_are_not_served(stack: Stack) -> None:
    for path in ("../__init__.py", "%2e%2e/__init__.py", "pad.py"):
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(stack.url + path, timeout=30)
        assert found.value.code in {403, 404}


@slow
def test_the_log_says_no_more_than_where_the_page_is(stack: Stack) -> None:
    assert "Traceback" not in stack.log() and len(stack.log().splitlines()) < 5


@slow
def test_any_host_but_loopback_needs_token_and_tls(tmp_path: Path) -> None:
    from arfm_ros.core.errors import ConfigError
    from arfm_ros.nodes.console.params import ConsoleParams

    with pytest.raises(ConfigError, match="token_file"):
        ConsoleParams(host="0.0.0.0")
    with pytest.raises(ConfigError, match="token_file"):
        ConsoleParams(host="0.0.0.0", token_file=str(tmp_path / "token"))
    ConsoleParams(host="0.0.0.0", token_file="t", make_certificate=str(tmp_path))
