"""openpi's policy server: a websocket, a greeting, then one request and one answer per chunk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR
from typing import Any, ClassVar

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.server.address import Server
from arfm_ros.engines.server.line import CONNECT_S, MAX_BYTES
from arfm_ros.engines.server.trust import NOTHING, Access, is_loopback

CLOSE_S = 1.0


@dataclass
class OpenpiLine:
    """`Line` of openpi; inputs and actions have the server's names on one level."""

    protocol: ClassVar[str] = "openpi"
    packages: ClassVar[tuple[str, ...]] = ("msgpack", "websockets")
    server: Server
    access: Access = NOTHING
    greeting: Mapping[str, Any] = field(default_factory=dict)  # what the server says of itself
    _socket: Any = None
    _open_now: ExitStack = field(default_factory=ExitStack)

    def ask(self, inputs: Mapping[str, Any], timeout_s: float) -> Any:
        """Send the inputs and return the actions [H, A]. Raises `EngineError`."""
        where, name = self.server.where, self.server.actions or ("actions",)
        answer = self._ask(inputs, timeout_s)
        if not isinstance(answer, dict) or name[0] not in answer:
            have = ", ".join(sorted(map(str, answer))) if isinstance(answer, dict) else "no map"
            raise EngineError(f"{where} sent no '{name[0]}' but: {have}")
        return answer[name[0]]

    def _ask(self, request: Mapping[str, Any], timeout_s: float) -> Any:
        from websockets.exceptions import WebSocketException

        from arfm_ros.engines.server.wire import pack, unpack

        where = self.server.where
        try:
            socket = self._socket or self._open()
            socket.send(pack(request))
            answer = socket.recv(timeout=timeout_s)
        except TimeoutError as error:  # a late answer must not be taken for the next one's
            self.close()
            raise EngineError(f"{where} gave no answer within {timeout_s:.3g} s") from error
        except (OSError, WebSocketException, EOFError) as error:
            self.close()
            raise EngineError(f"{where} cannot be reached: {error}") from error
        if isinstance(answer, str):  # how the protocol says that the server failed
            self.close()
            last = answer.strip().splitlines()[-1:] or ["without a word"]
            raise EngineError(f"{where} failed: {last[0]}")
        return unpack(answer)

    def close(self) -> None:
        """Hang up."""
        self._open_now.close()
        self._socket = None

    def cut(self) -> None:
        """Break the connection, so that a thread in `ask` gets its error; it closes the rest."""
        socket = self._socket
        if socket is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(SHUT_RDWR)

    def _open(self) -> Any:
        from websockets.sync.client import connect

        from arfm_ros.engines.server.wire import unpack

        uri = self.server.uri
        key = self.access.key(uri)
        # A proxy of the environment is for other machines: what is for this one stays on it.
        direct: dict[str, Any] = {"proxy": None} if is_loopback(uri) else {}
        line = connect(
            uri,
            additional_headers={"Authorization": f"Api-Key {key}"} if key else None,
            compression=None,
            max_size=MAX_BYTES,
            open_timeout=CONNECT_S,
            close_timeout=CLOSE_S,
            ping_interval=None,  # a server that computes does not answer pings
            **direct,
        )
        self._socket = self._open_now.enter_context(line)
        self.greeting = unpack(self._socket.recv(timeout=CONNECT_S))
        return self._socket
