"""What operators ask of other nodes: services by name, words, instructions, answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rclpy.node import Node

from arfm_ros.nodes.ros import topics

ANSWER_S, REPEAT_S = 3.0, 0.15
# what a page asks for -> service, and what it is told: True, False, or None for a Trigger
ASKED: dict[str, tuple[topics.Service, bool | None]] = {
    "engage": (topics.ARBITER_ENGAGE, True),
    "idle": (topics.ARBITER_ENGAGE, False),
    "reset": (topics.ARBITER_RESET, None),
    "estop": (topics.ESTOP_PRESS, True),
    "release_estop": (topics.ESTOP_PRESS, False),
    "takeover": (topics.ARBITER_TAKEOVER, True),
    "give_back": (topics.ARBITER_TAKEOVER, False),
    "record": (topics.RECORDER_START, None),
    "stop": (topics.RECORDER_STOP, None),
    "success": (topics.RECORDER_LABEL, True),
    "failure": (topics.RECORDER_LABEL, False),
    "discard": (topics.RECORDER_DISCARD, None),
}
SAID = {
    "instruction": topics.INSTRUCTION,
    "word": topics.INSTRUCTION,  # the arbiter knows words by its table
    "request": topics.ARBITER_REQUEST,
    "answer": topics.ANSWER,
}
NOBODY = {  # who would listen
    "instruction": "no policy node listens",
    "word": "no node listens to words",
    "request": "the arbiter takes no requests",
    "answer": "nobody waits for answers",
}


class Asking:
    """Clients and publishers; `ask` and `say` are for the server's thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        services = dict.fromkeys(row for row, _ in ASKED.values())
        self._clients = {row: topics.client(node, row) for row in services}
        made = {row: topics.publisher(node, row) for row in dict.fromkeys(SAID.values())}
        self._publishers = {what: made[row] for what, row in SAID.items()}

    def ready(self) -> dict[str, bool]:
        """Return what can be asked for now."""
        there = {row: one.service_is_ready() for row, one in self._clients.items()}
        found = {what: there[row] for what, (row, _) in ASKED.items()}
        heard = {what: p.get_subscription_count() > 0 for what, p in self._publishers.items()}
        return found | heard

    async def ask(self, what: str) -> tuple[bool, str]:
        """Call the service of `what`; return whether it agreed, and what it said.

        An e-stop is asked for again until it is answered: it may be pressed twice.
        """
        row, data = ASKED[what]
        client = self._clients[row]
        if not client.service_is_ready():
            return False, f"nobody offers {row.name}: is its node running?"
        kind = topics.interface(row.type_name)
        request = kind.Request() if data is None else kind.Request(data=data)
        tries = round(ANSWER_S / REPEAT_S) if what == "estop" else 1
        for _ in range(tries):
            answer = await _answered(client.call_async(request), ANSWER_S / tries)
            if answer is not None:
                return bool(answer.success), str(answer.message)
        return False, f"{row.name} did not answer within {ANSWER_S:g} s"

    def say(self, what: str, text: str) -> str:
        """Publish a text; return '' or why nobody hears it."""
        publisher = self._publishers[what]
        publisher.publish(topics.interface(SAID[what].type_name)(data=text))
        return "" if publisher.get_subscription_count() else NOBODY[what]

    def answer(self, question: str, text: str) -> str:
        """Publish the answer to a question, by its id."""
        return self.say("answer", json.dumps({"id": question, "answer": text}))


async def _answered(future: Any, timeout_s: float) -> Any:
    """Wait in asyncio for what rclpy's thread finishes; None where it does not."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
    try:
        await asyncio.wait_for(done.wait(), timeout_s)
    except asyncio.TimeoutError:
        return None
    return future.result()
