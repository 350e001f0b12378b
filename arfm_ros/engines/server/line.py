"""How a policy's server is asked: one protocol of a server's library a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from arfm_ros.engines.server.address import Server

MAX_BYTES = 2**26  # of an answer
CONNECT_S = 5.0


class Line(Protocol):
    """The connection: opened when it is needed, closed after whatever goes wrong."""

    protocol: ClassVar[str]  # whose it is
    packages: ClassVar[tuple[str, ...]]  # that it imports
    server: Server

    def ask(self, inputs: Mapping[str, Any], timeout_s: float) -> Any:
        """Send the inputs by the server's names; return the actions [H, A] of its answer.

        Pictures are [H, W, 3] uint8, parts of the state [S] float32, the instruction is a str.
        Raises `EngineError` naming the server.
        """

    def close(self) -> None:
        """Hang up; for the thread that asks."""

    def cut(self) -> None:
        """Break the connection, so that a thread in `ask` gets its error; for any thread."""
