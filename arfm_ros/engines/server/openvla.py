"""OpenVLA's policy server, and OpenVLA-OFT's: one POST of JSON to /act per chunk.

Arrays are maps of `__numpy__` (base64 of bytes in C order), `dtype` and `shape`, as the package
json_numpy writes them. OpenVLA answers with one action [D], OFT with several [H, D]. After
`vla-scripts/deploy.py` of github.com/openvla/openvla and of github.com/moojink/openvla-oft.
"""

from __future__ import annotations

import base64
import binascii
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from math import prod
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.server.address import Server
from arfm_ros.engines.server.line import CONNECT_S, MAX_BYTES
from arfm_ros.engines.server.trust import NOTHING, SCHEMES, Access

PATH = "/act"
ARRAY = "__numpy__"
KINDS = "fiub"  # of number: float, integers, bool


@dataclass
class OpenvlaLine:
    """`Line` of OpenVLA; inputs have the server's names on one level."""

    protocol: ClassVar[str] = "openvla"
    packages: ClassVar[tuple[str, ...]] = ()
    server: Server
    access: Access = NOTHING
    _connection: HTTPConnection | None = None

    def ask(self, inputs: Mapping[str, Any], timeout_s: float) -> Any:
        """Send the inputs and return the actions [H, A]. Raises `EngineError`."""
        where = self.server.where
        try:
            status, body = self._post(json.dumps(inputs, default=_describe).encode(), timeout_s)
        except TimeoutError as error:  # a late answer must not be taken for the next one's
            self.close()
            raise EngineError(f"{where} gave no answer within {timeout_s:.3g} s") from error
        except (OSError, HTTPException) as error:
            self.close()
            raise EngineError(f"{where} cannot be reached: {error or 'it hung up'}") from error
        if status != 200:
            said = body[:200].decode("utf-8", "replace")
            raise EngineError(f"{where} failed: HTTP {status} {said}")
        try:
            answer = np.asarray(_restored(json.loads(body)), np.float32)
        except (ValueError, TypeError, KeyError, binascii.Error) as error:
            raise EngineError(f"{where} sent no actions: {error}") from error
        return answer[None] if answer.ndim == 1 else answer

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Break the connection, so that a thread in `ask` gets its error; it closes the rest."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):  # it is closed already
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _post(self, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Post, on the line of before where it still stands; return the status and the answer."""
        headers = {"Content-Type": "application/json"}
        if key := self.access.key(self.server.uri):
            headers["Authorization"] = f"Bearer {key}"
        used, connection = self._connection is not None, self._connection or self._open()
        try:
            connection.request("POST", urlsplit(self.server.uri).path or PATH, body, headers)
        except (OSError, HTTPException):
            if not used:
                raise
            self.close()  # the server hung up between two chunks
            connection = self._open()
            connection.request("POST", urlsplit(self.server.uri).path or PATH, body, headers)
        assert connection.sock is not None
        connection.sock.settimeout(timeout_s)
        answer = connection.getresponse()
        data = answer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise HTTPException(f"the answer is longer than {MAX_BYTES} bytes")
        if connection.sock is not None:
            connection.sock.settimeout(CONNECT_S)
        return answer.status, data

    def _open(self) -> HTTPConnection:
        parts = urlsplit(self.server.uri)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        port = parts.port or SCHEMES[parts.scheme]
        self._connection = kind(parts.hostname or "", port, timeout=CONNECT_S)
        self._connection.connect()
        return self._connection


def _describe(value: Any) -> dict[str, Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in KINDS:
        raise TypeError(f"cannot send {type(value).__name__}")
    data = base64.b64encode(value.tobytes()).decode()
    return {ARRAY: data, "dtype": value.dtype.str, "shape": list(value.shape)}


def _restored(value: Any) -> Any:
    """Make arrays of what `json_numpy` wrote: in lists, in maps, or JSON in a text (OpenVLA)."""
    if isinstance(value, str):
        return _restored(json.loads(value))
    if isinstance(value, list):
        return [_restored(one) if isinstance(one, (dict, list)) else one for one in value]
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} is no array")
    if ARRAY not in value:
        raise ValueError(f"a map of {', '.join(map(str, value))[:80]}")
    return _array(value)


def _array(raw: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = np.dtype(raw["dtype"]), tuple(raw["shape"])
    data = base64.b64decode(raw[ARRAY], validate=True)
    if dtype.kind not in KINDS or len(data) != prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no array of {dtype} {shape}")
    return np.frombuffer(data, dtype).reshape(shape)
