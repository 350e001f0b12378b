"""Wait for other nodes: patiently, saying for what, and asking again where an answer got lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.node import Node
from rclpy.task import Future

from arfm_ros.core.errors import ArfmError, ConfigError
from arfm_ros.nodes.ros import topics

LOOK_S = 0.1  # between two looks at a condition that nobody announces
SAY_S = 5.0  # between two remarks about what is being waited for
# A server drops the answer whose reader it has not discovered yet, and one that was killed may
# still count as there: after so long it is asked again.
ANSWER_S = 3.0
RETRY_S = 1.0  # between a refusal that may pass and the next try


class Stopped(ArfmError):
    """The process is shutting down: leave the procedure."""


class Patience:
    """A procedure on a thread of its own waits here for what the executor's thread notes."""

    def __init__(self, node: Node, seconds: float) -> None:
        self._node, self._seconds = node, seconds
        self._changed = threading.Condition()
        self._stopping = False

    def note(self) -> None:
        """Let whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Let every wait end with `Stopped`."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], what: Callable[[], str] | str) -> None:
        """Wait until `condition`; raise `ConfigError` naming `what` never came."""
        begin_s = time.monotonic()
        said_s = begin_s
        with self._changed:
            while not self._stopping and not condition():
                now_s = time.monotonic()
                text = what if isinstance(what, str) else what()
                if now_s - begin_s > self._seconds:
                    raise ConfigError(
                        f"no {text} within {self._seconds:g} s "
                        "(how long to wait: parameter 'patience')"
                    )
                if now_s - said_s > SAY_S:
                    said_s = now_s
                    self._node.get_logger().info(f"waiting for {text}")
                self._changed.wait(LOOK_S)
        if self._stopping:
            raise Stopped("shutting down")


class Asking:
    """Call services; a call is repeated until it is answered."""

    def __init__(self, node: Node, rows: Sequence[topics.Service], patience: Patience) -> None:
        self._clients = {row: topics.client(node, row) for row in rows}
        self._patience = patience

    def ask(
        self,
        row: topics.Service,
        request: Any,
        done: Callable[[], bool] = lambda: False,
        passes: bool = False,
    ) -> Any:
        """Return the answer; None where `done` says that the server did it and the answer is lost.

        With `passes` a refusal is asked again too, until patience ends.
        """
        call = _Call(self._clients[row], request, done, passes, self._patience.note)
        there = self._clients[row].service_is_ready
        self._patience.wait(there, f"service {row.name}: is its node running?")
        self._patience.wait(call.over, lambda: f"answer of service {row.name}{call.refusal}")
        return call.answer()


class _Call:
    """One question, asked as often as it needs."""

    def __init__(
        self,
        client: Any,
        request: Any,
        done: Callable[[], bool],
        passes: bool,
        wake: Callable[[], None],
    ) -> None:
        self._client, self._request, self._done = client, request, done
        self._passes, self._wake = passes, wake
        self._asked: list[Future] = []
        self._asked_s = 0.0
        self.refusal = ""

    def over(self) -> bool:
        """Ask where that is due; return whether there is an answer that counts."""
        now_s, last = time.monotonic(), self._asked[-1] if self._asked else None
        answers = self._answers()
        refused = last is not None and last.done() and not _agreed(last.result())
        if any(map(_agreed, answers)) or (answers and not self._passes):
            return True
        if refused and last is not None:
            self.refusal = f", which refuses: {last.result().message}"
        if last is not None and now_s - self._asked_s < (RETRY_S if refused else ANSWER_S):
            return False
        if last is not None and self._done():
            return True
        self._asked_s = now_s
        self._asked.append(self._client.call_async(self._request))
        self._asked[-1].add_done_callback(lambda _: self._wake())
        return False

    def answer(self) -> Any:
        """Return the best answer, None without one."""
        answers = self._answers()
        good = [answer for answer in answers if _agreed(answer)]
        if not good and len(self._asked) > 1 and self._done():
            return None  # the repeated question is refused because the first one was heard
        return next(iter([*good, *answers]), None)

    def _answers(self) -> list[Any]:
        return [future.result() for future in self._asked if future.done()]


def _agreed(answer: Any) -> bool:
    """Say whether an answer is no refusal; one of a service without a verdict never is."""
    return bool(getattr(answer, "success", True))


def values_of(message: Any) -> Mapping[str, str]:
    """Read the values of a DiagnosticArray."""
    return {pair.key: pair.value for status in message.status for pair in status.values}
