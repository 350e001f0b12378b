"""A policy server that speaks openpi's websocket protocol, for tests of the client."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from websockets.sync.server import ServerConnection, serve

Infer = Callable[[dict[str, Any]], Any]  # request -> answer, or a text to fail with


def packed(value: Any) -> bytes:
    """Pack as openpi's client library does; written down here apart from the code under test."""

    def default(one: Any) -> Any:
        if isinstance(one, np.ndarray):
            return {
                b"__ndarray__": True,
                b"data": one.tobytes(),
                b"dtype": one.dtype.str,
                b"shape": one.shape,
            }
        return {b"__npgeneric__": True, b"data": one.item(), b"dtype": one.dtype.str}

    return bytes(msgpack.packb(value, default=default))


def unpacked(data: bytes) -> Any:
    """Invert `packed`."""

    def restore(one: dict[Any, Any]) -> Any:
        if b"__ndarray__" in one:
            return np.ndarray(one[b"shape"], np.dtype(one[b"dtype"]), one[b"data"])
        if b"__npgeneric__" in one:
            return np.dtype(one[b"dtype"]).type(one[b"data"])
        return one

    return msgpack.unpackb(data, object_hook=restore)


class PolicyServer:
    """A real websocket server in a thread of the test; greets, then answers every request."""

    def __init__(self, infer: Infer, port: int = 0) -> None:
        self.infer, self.requests, self.headers = infer, list[dict[str, Any]](), list[Any]()
        self._server = serve(self._handle, "127.0.0.1", port, compression=None, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        self.uri = f"ws://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and drop the connections."""
        self._server.shutdown()
        self._thread.join(timeout=10.0)

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(connection.request.headers)
        connection.send(packed({"name": "rig"}))
        for message in connection:
            assert isinstance(message, bytes)
            request = unpacked(message)
            self.requests.append(request)
            answer = self.infer(request)
            connection.send(answer if isinstance(answer, (str, bytes)) else packed(answer))
            if isinstance(answer, str):  # openpi hangs up after a traceback
                connection.close(1011)
