"""A policy server that speaks GR00T's ZeroMQ protocol, for tests of the client.

Written after gr00t/eval/service.py (N1.5) and gr00t/policy/server_client.py (N1.6) of
github.com/NVIDIA/Isaac-GR00T, apart from the code under test.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import msgpack
import numpy as np
import zmq

Infer = Callable[[dict[str, Any]], Any]  # the observation as it came -> answer, or bytes
LANGUAGE = "annotation.human.task_description"


def packed(value: Any) -> bytes:
    """Pack as MsgSerializer does."""

    def default(one: Any) -> Any:
        output = BytesIO()
        np.save(output, one, allow_pickle=False)
        return {"__ndarray_class__": True, "as_npy": output.getvalue()}

    return bytes(msgpack.packb(value, default=default))


def unpacked(data: bytes) -> Any:
    """Invert `packed`."""

    def restore(one: dict[str, Any]) -> Any:
        if "__ndarray_class__" in one:
            return np.load(BytesIO(one["as_npy"]), allow_pickle=False)
        return one

    return msgpack.unpackb(data, object_hook=restore)


def modalities(flat: bool, **steps: int) -> dict[str, Any]:
    """Describe two cameras, an arm and a gripper; N1.5 (`flat`) has prefixes and JSON as text."""
    names = {"video": ["ego", "wrist"], "state": ["arm", "hand"], "action": ["arm", "hand"]}
    told = {}
    for kind, keys in (names | {"language": [LANGUAGE]}).items():
        own = [f"{kind}.{key}" if flat and kind != "language" else key for key in keys]
        one = {"delta_indices": list(range(steps.get(kind, 1))), "modality_keys": own}
        told[kind] = {
            "__ModalityConfig_class__": True,
            "as_json": json.dumps(one) if flat else one,
        }
    return told


class GrootServer:
    """A real REP socket in a thread of the test."""

    def __init__(self, infer: Infer, flat: bool = False, port: int = 0, token: str = "") -> None:
        self.infer, self.token = infer, token
        self.modalities: Any = modalities(flat)
        self.requests = list[dict[str, Any]]()
        self._socket = zmq.Context.instance().socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._bind(f"tcp://127.0.0.1:{port or '*'}")
        self.uri = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.port = int(self.uri.rpartition(":")[2])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and drop the connections."""
        self._over.set()
        self._thread.join(timeout=10.0)

    def _bind(self, place: str) -> None:
        """Bind, where a server of before needs a moment to leave."""
        until_s = time.monotonic() + 10.0
        while True:
            try:
                return self._socket.bind(place)
            except zmq.ZMQError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)

    def _run(self) -> None:
        while not self._over.is_set():
            if self._socket.poll(20):
                try:
                    answer = self._answer(unpacked(self._socket.recv()))
                except SystemExit:  # it dies while it computes
                    return
                self._socket.send(answer if isinstance(answer, bytes) else packed(answer))
        self._socket.close()

    def _answer(self, request: dict[str, Any]) -> Any:
        if self.token and request.get("api_token") != self.token:
            return {"error": "Unauthorized: Invalid API token"}
        if request["endpoint"] == "get_modality_config":
            return self.modalities
        self.requests.append(request)
        try:
            return self.infer(request["data"])
        except (AssertionError, KeyError, ValueError) as error:  # the server itself: all
            return {"error": str(error)}
